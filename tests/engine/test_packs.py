"""The shipped rules are found in a checkout and inside an installed wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engine import packs

ROOT = Path(__file__).resolve().parents[2]


def test_a_checkout_has_its_own_rules() -> None:
    assert packs.rules_folder() == ROOT / "rules"
    assert packs.resolve("mobile") == ROOT / "rules" / "mobile"
    assert packs.resolve("./mobile") == Path("mobile")


def test_a_wheel_carries_rules_grammar_and_demo_data(tmp_path: Path) -> None:
    """Built with the backend of pyproject.toml; skipped where that is not installed."""
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    assert "engine/rules/mobile/an1756.rule" in names
    assert "dsl/grammar.lark" in names
    assert any(name.startswith("engine/demo/data/") for name in names)
    done = subprocess.run(
        [sys.executable, "-c", "from engine.cli import main; raise SystemExit(main(['check', 'mobile']))"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "16 rules" in done.stdout
