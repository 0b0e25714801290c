"""``thenwire baseline show``: the history of a key, its picture, and what is said of bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import expm1
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import dsl
from engine.cli import main
from engine.explain.history import MAX_POINTS, Histories, History
from engine.explain.plot import BAND, CENTRE, MARKED, VALUE, plot
from engine.explain.plot_svg import svg_plot

EVERY = 300_000
START = 1_767_225_600_000
RULES = """
EVENT net flow { app: string? host: string? bytes_out: int? UNIT bytes }
BASELINE app egress = bytes_out OF net flow BY device, app EVERY 5m USING robust PEER app
BASELINE hosts = host OF net flow BY device USING novelty
"""
SPIKE = 40
Run = Callable[..., tuple[int, str, str]]


def wire(buckets: int = 60) -> list[dict[str, object]]:
    """An app that sends some 20 KB in two events a bucket, and 9 MB once."""
    random = np.random.default_rng(2)
    found: list[dict[str, object]] = []
    for bucket in range(buckets):
        sent = 9_000_000 if bucket == SPIKE else int(expm1(9.9 + random.normal(0, 0.3)))
        for part in range(2):
            time = START + bucket * EVERY + part * 1_000
            event = {"kind": "net.flow", "device": "d1", "time": time, "app": "a", "bytes_out": sent // 2}
            found += [event, {**event, "device": "d2", "app": "b", "host": "x.example"}]
    return found


def followed(wanted: dict[str, str], **options: tuple[str, ...]) -> list[History]:
    histories = Histories(dsl.load_text(RULES), wanted, **options)
    for one in wire():
        event = histories.decoder.convert(one)
        assert event is not None
        assert histories.feed(event) == []
    return histories.histories()


def test_a_history_has_a_point_for_each_bucket_as_it_stood_at_its_end() -> None:
    (history,) = followed({"device": "d1"})
    assert (history.baseline, history.key) == ("app egress", {"device": "d1", "app": "a"})
    assert len(history.points) == 60
    assert history.points[SPIKE].value == 9_000_000
    assert [i for i, point in enumerate(history.points) if point.marked] == [SPIKE]
    assert history.points[0].state == "cold"
    late = history.points[50]
    assert late.low is not None
    assert late.high is not None
    assert late.low < 20_000 < late.high


def test_only_the_wanted_key_and_baseline_is_followed() -> None:
    assert [h.baseline for h in followed({"device": "d2"})] == ["hosts", "app egress"][::-1]
    assert [h.baseline for h in followed({"device": "d2"}, names=("hosts",))] == ["hosts"]
    assert followed({"device": "d1", "app": "b"}) == []


def test_a_cold_key_is_shown_against_its_peer() -> None:
    histories = Histories(dsl.load_text(RULES), {"device": "new"})
    for one in [*wire(), {**wire()[0], "device": "new", "time": START + 61 * EVERY}]:
        event = histories.decoder.convert(one)
        assert event is not None
        histories.feed(event)
    (point,) = histories.histories()[0].points
    assert (point.scope, point.state) == ("fleet", "ok")


def test_points_are_bounded() -> None:
    histories = Histories(dsl.load_text(RULES), {})
    for bucket in range(MAX_POINTS + 5):
        one = {"kind": "net.flow", "device": "d", "time": START + bucket * EVERY, "app": "a", "bytes_out": 1}
        event = histories.decoder.convert(one)
        assert event is not None
        histories.feed(event)
    (history,) = histories.histories()
    assert (len(history.points), history.dropped) == (MAX_POINTS, 5)


def test_the_plot_has_the_deviation_at_the_top_and_the_band_below() -> None:
    lines = plot(followed({"device": "d1"})[0], width=60, height=12)
    assert len(lines) == 12
    assert MARKED in lines[0]
    assert sum(line.count(MARKED) for line in lines) == 1
    assert any(BAND in line for line in lines)
    assert any(CENTRE in line for line in lines)
    assert sum(line.count(VALUE) for line in lines) > 40
    # The spike stands where its bucket is in time.
    column = lines[0].index(MARKED) - lines[0].index("|") - 1
    assert column == round(SPIKE / 59 * 59)


def test_a_baseline_without_amounts_plots_its_score() -> None:
    (_, hosts) = followed({"device": "d2"})
    assert hosts.function == "unseen"
    assert len(plot(hosts)) == 12


def test_the_svg_is_well_formed_and_marks_what_deviated() -> None:
    (history,) = followed({"device": "d1"})
    picture = ElementTree.fromstring(svg_plot(history, 'a "title" <b> & more'))
    dots = [x.get("class") for x in picture.iter() if x.tag.endswith("circle")]
    assert (dots.count("marked"), dots.count("value")) == (1, 59)
    assert picture.get("aria-label") == 'a "title" <b> & more'
    assert not [x for x in picture.iter() if x.tag.endswith(("script", "image"))]


@pytest.mark.parametrize("count", [1, 2])
def test_few_points_are_drawn_as_well(count: int) -> None:
    (history,) = followed({"device": "d1"})
    few = History(
        **{name: getattr(history, name) for name in history.__struct_fields__}
        | {"points": history.points[:count]}
    )
    assert len(plot(few)) == 12
    ElementTree.fromstring(svg_plot(few, "few"))


# --- the command


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.rule"
    path.write_text(RULES)
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.ndjson"
    path.write_text("".join(json.dumps(one) + "\n" for one in wire()))
    return path


def test_show(run: Run, rules: Path, recording: Path, tmp_path: Path) -> None:
    picture = tmp_path / "p.svg"
    code, out, err = run(
        "baseline", "show", rules, "--input", recording, "--device", "d1", "--app", "a", "--svg", picture
    )
    assert (code, err) == (0, "")
    assert out.startswith("app egress of device d1, app a\n")
    assert "2026-01-01T03:20:01.000Z  9,000,000" in out
    assert "ok: 58 samples, device history, drift 0." in out
    ElementTree.parse(picture)


def test_show_json(run: Run, rules: Path, recording: Path) -> None:
    code, out, _ = run("baseline", "show", rules, "--input", recording, "--device", "d1", "--json")
    (record,) = map(json.loads, out.splitlines())
    assert code == 0
    assert record["key"] == {"device": "d1", "app": "a"}
    assert [p["value"] for p in record["points"] if p["marked"]] == [9_000_000]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "nobody"], "nothing of `nobody` fed a baseline; the recordings have d1, d2"),
        (["--device", "d1", "--baseline", "app egres"], "there is no baseline `app egres`"),
        (["--device", "d1", "--key", "app"], "--key takes field=value, not `app`"),
        (["--device", "d2", "--svg", "x.svg"], "--svg draws one key, and 2 are left"),
        (["--device", "d1", "--svg", "/nowhere/x.svg"], "`/nowhere/x.svg` cannot be written"),
        (["--device", "d1", "--source", "x"], "there is no source `x`"),
    ],
)
def test_bad_use_is_said_in_a_sentence(
    run: Run, rules: Path, recording: Path, options: list[str], said: str
) -> None:
    code, out, err = run("baseline", "show", rules, "--input", recording, *options)
    assert (code, out) == (2, "")
    assert said in err


def test_what_cannot_be_read(run: Run, rules: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.ndjson"
    bad.write_text('{"kind": 3}\nnonsense\n')
    code, _, err = run("baseline", "show", rules, "--input", bad, "--device", "d1")
    assert code == 2
    assert "nothing could be read" in err
    assert run("baseline", "show", rules, "--input", tmp_path / "no.json", "--device", "d1")[0] == 2
    (tmp_path / "none.rule").write_text("EVENT net flow { app: string? }\n")
    code, _, err = run("baseline", "show", tmp_path / "none.rule", "--input", bad, "--device", "d1")
    assert code == 2
    assert "declare no baseline" in err
