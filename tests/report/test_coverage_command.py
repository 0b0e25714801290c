"""`thenwire coverage` as people and scripts use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import msgspec
import pytest

from engine import packs
from engine.cli import main
from engine.demo import scenario
from engine.report.coverage import Coverage

FORMAT = json.loads(Path(__file__).with_name("attack_layer_4_5.schema.json").read_text("utf-8"))
PACK = packs.rules_folder() / "mobile"
RULES = [
    PACK / f"{name}.rule" for name in ("events", "lists", "params", "signals", "baselines", "an1756", "quick")
]
"""Not the whole pack: what other rules need is no matter here."""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["coverage", *(str(a) for a in arguments)])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "demo.ndjson"
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in scenario.events()))
    return path


@pytest.fixture
def without_crashes(tmp_path: Path) -> Path:
    path = tmp_path / "cut.ndjson"
    kept = (e for e in scenario.events() if e["kind"] not in ("app.exit", "device.posture"))
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in kept))
    return path


def test_the_code_is_0_where_nothing_is_blind_and_1_where_something_is(
    run: Run, recording: Path, without_crashes: Path
) -> None:
    code, out, err = run(*RULES, recording)
    assert (
        code,
        out.count("EVALUABLE"),
        "2 EVALUABLE, 0 DEGRADED, 0 BLIND; 1,188 events of 20 devices" in err,
    ) == (
        0,
        2,
        True,
    )
    code, out, err = run(*RULES, without_crashes)
    assert (code, out.count("BLIND")) == (1, 2)
    code, out, err = run(*RULES)
    assert code == 0
    assert "nothing was read" in err


def test_json_is_the_whole_report(run: Run, recording: Path) -> None:
    code, out, _ = run(*RULES, recording, "--json")
    found = msgspec.json.decode(out, type=Coverage)
    assert code == 0
    assert found.schema == "thenwire.coverage/1"
    assert [row.rule for row in found.rules] == ["an1756_ios", "quick"]
    assert out.count("\n") == 1


def test_markdown_and_the_layer(run: Run, recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "layer.json"
    code, out, _ = run(*RULES, recording, "--markdown", "--layer", path)
    assert code == 0
    assert out.startswith("# Coverage\n")
    layer = json.loads(path.read_text("utf-8"))
    jsonschema.validate(layer, FORMAT)
    assert layer["techniques"][0]["comment"] == (
        "AN1756 EVALUABLE for 100 % of 20 iOS devices (rule an1756 ios), via DET0663"
    )


def test_an_inventory_makes_silence_visible(run: Run, recording: Path, tmp_path: Path) -> None:
    inventory = tmp_path / "devices.csv"
    lines = "".join(f"{s.device},field\n" for s in (*scenario.CHAINS, *scenario.LOOKALIKES))
    inventory.write_text(f"device,group\n{lines}lost,vault\n")
    code, out, _ = run(*RULES, recording, "--devices", inventory, "--json")
    found = msgspec.json.decode(out, type=Coverage)
    rows = {row.group: row.verdict for row in found.rules if row.rule == "an1756_ios"}
    assert (code, rows) == (1, {"(not listed)": "EVALUABLE", "field": "EVALUABLE", "vault": "BLIND"})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "no rules are given"),
        (("mobile", "--json", "--markdown"), "two formats"),
        (("mobile", "--group", "colour"), "no EVENT has a field `colour`"),
        (("mobile", "--retention", "long"), "not a duration"),
        (("mobile", "--devices", "nowhere.csv"), "`nowhere.csv` cannot be read"),
        (("mobile", "--layer", "nowhere/l.json"), "cannot be written"),
        (("mobile", "--jsn"), "there is no option `--jsn`"),
        (("mobile", "nowhere.ndjson"), "nowhere.ndjson"),
    ],
)
def test_wrong_usage_is_one_sentence(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err


def test_an_inventory_without_devices_or_not_text_is_refused(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    for content, sentence in ((b"name\nd1\n", "no column `device`"), (b"device\n\xff\n", "no CSV")):
        wrong.write_bytes(content)
        code, _, err = run("mobile", "--devices", wrong)
        assert (code, sentence in err) == (2, True)
