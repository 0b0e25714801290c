"""``thenwire replay --report`` and ``--against`` as people and scripts use them."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recordings import RULES, recording

from engine.cli import common, main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(common.out, "_width", 140)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "now.rule"
    path.write_text(RULES)
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "made.ndjson"
    path.write_bytes(recording())
    return path


def test_report_writes_a_page_beside_the_usual_output(
    run: Run, rules: Path, made: Path, tmp_path: Path
) -> None:
    page = tmp_path / "out.html"
    code, out, err = run("replay", made, "--rules", rules, "--report", page)
    assert code == 0
    assert "Many failed logins" in out
    assert f"report: {page}" in err
    text = page.read_text("utf-8")
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "made.ndjson" in text
    assert str(tmp_path) not in text, "folders of who made the page are nobody's business"


def test_report_is_the_same_again_and_from_a_compressed_file(
    run: Run, rules: Path, made: Path, tmp_path: Path
) -> None:
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    run("replay", made, "--rules", rules, "--report", pages[0])
    packed = tmp_path / "packed" / "made.ndjson"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(made.read_bytes()))
    run("replay", packed, "--rules", rules, "--report", pages[1], "--json")
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_report_of_standard_input(
    run: Run, rules: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(made.read_bytes())))
    page = tmp_path / "out.html"
    assert run("replay", "-", "--rules", rules, "--report", page)[0] == 0
    assert "standard input" in page.read_text("utf-8")


def test_report_goes_with_fail_on_alert(run: Run, rules: Path, made: Path, tmp_path: Path) -> None:
    code, _, _ = run("replay", made, "--rules", rules, "--report", tmp_path / "o.html", "--fail-on-alert")
    assert code == 1
    assert (tmp_path / "o.html").exists()


def test_report_refuses_a_bad_place_before_it_reads(
    run: Run, rules: Path, made: Path, tmp_path: Path
) -> None:
    for place, words in ((tmp_path, "is a folder"), (tmp_path / "no" / "out.html", "there is no folder")):
        code, out, err = run("replay", made, "--rules", rules, "--report", place)
        assert code == 2
        assert words in err
        assert out == ""


def test_against_the_same_rules(run: Run, rules: Path, made: Path) -> None:
    code, out, _ = run("replay", made, "--rules", rules, "--against", rules)
    assert code == 0
    assert out.rstrip().endswith("no difference")
    assert run("replay", made, "--rules", rules, "--against", rules, "--json")[0] == 0


def test_against_other_rules(run: Run, rules: Path, made: Path, tmp_path: Path) -> None:
    other = tmp_path / "before.rule"
    other.write_text(RULES.replace("AT LEAST 5", "AT LEAST 9").replace("SEVERITY medium", "SEVERITY low"))
    code, out, err = run("replay", made, "--rules", rules, "--against", other)
    assert code == 1
    assert "severity: low, now medium" in out
    assert "appears" in out
    assert "1 alert appears, 1 alert changes" in out
    assert "1 record refused: malformed_json" in err

    code, out, _ = run("replay", made, "--rules", rules, "--against", other, "--json")
    assert code == 1
    lines = [json.loads(line) for line in out.splitlines()]
    found = [line for line in lines if line["what"] != "rule"]
    assert [(line["what"], line["rule"]) for line in found] == [
        ("appears", "many_failures"),
        ("changes", "held_microphone"),
    ]
    assert found[0]["before"] is None
    assert found[0]["after"]["key"] == {"device": "d3"}
    assert found[1]["changes"] == [{"what": "severity", "before": "low", "after": "medium"}]
    numbers = {line["rule"]: line for line in lines if line["what"] == "rule"}
    assert len(numbers) == 8
    assert numbers["many_failures"]["appears"] == 1
    assert numbers["any_panic"]["same"] is True


def test_against_the_same_rules_with_other_params(run: Run, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.rule"
    path.write_text(
        "EVENT panic { text: string? }\nPARAM gap = 10m\nRULE r { WHEN panic THEN panic WITHIN gap }\n"
    )
    assert run("replay", made, "--rules", path, "--against", path)[0] == 0
    code, out, _ = run("replay", made, "--rules", path, "--set", "gap=5m", "--against", path)
    assert (code, out.splitlines()[-1]) == (1, "11 alerts vanish")
    code, out, _ = run("replay", made, "--rules", path, "--against", path, "--against-set", "gap=5m")
    assert (code, out.splitlines()[-1]) == (1, "11 alerts appear")


def test_a_recording_behind_against_is_a_recording(run: Run, rules: Path, made: Path) -> None:
    assert run("replay", "--rules", rules, "--against", rules, made)[0] == 0


@pytest.mark.parametrize(
    "option", [["--full"], ["--format", "ocsf"], ["--fail-on-alert"], ["--report", "x.html"]]
)
def test_against_goes_with_no_other_output(run: Run, rules: Path, made: Path, option: list[str]) -> None:
    code, _, err = run("replay", made, "--rules", rules, "--against", rules, *option)
    assert code == 2
    assert "--against goes with --json" in err


def test_against_set_needs_against(run: Run, rules: Path, made: Path) -> None:
    code, _, err = run("replay", made, "--rules", rules, "--against-set", "x=1")
    assert code == 2
    assert "--against-set is for the rules of --against" in err


def test_against_rules_that_are_not_there(run: Run, rules: Path, made: Path, tmp_path: Path) -> None:
    assert run("replay", made, "--rules", rules, "--against", tmp_path / "none.rule")[0] == 2
    empty = tmp_path / "empty.rule"
    empty.write_text("EVENT x { y: int }\n")
    code, _, err = run("replay", made, "--rules", rules, "--against", empty)
    assert code == 2
    assert "no rule is left to compare against" in err


def test_against_reads_standard_input_once(
    run: Run, rules: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(made.read_bytes())))
    code, out, _ = run("replay", "-", "--rules", rules, "--against", rules)
    assert code == 0
    assert "any panic" in out
    assert " 12 " in out
