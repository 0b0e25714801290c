"""The pack on real recordings that are no part of the project: few signals, no alert, malware seen."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
DATA = DOCS.parents[1] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recordings in ../shared/data are not here")


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


real = _load("real_data") if DATA.is_dir() else None
report = _load("make_real_data_report") if DATA.is_dir() else None
NAMES = [recording.name for recording in real.RECORDINGS] if real is not None else []


@cache
def cold(name: str) -> Any:
    assert real is not None
    (recording,) = (r for r in real.RECORDINGS if r.name == name)
    return real.count(real.events_of(recording))


@pytest.mark.parametrize("name", NAMES)
def test_no_rule_alerts_on_a_recording_without_a_history(name: str) -> None:
    found = cold(name)
    assert found.events > 0
    assert found.alerts == {}


@pytest.mark.parametrize("name", NAMES[:7])
def test_no_rule_alerts_on_a_recording_behind_itself(name: str) -> None:
    assert real is not None
    (recording,) = (r for r in real.RECORDINGS if r.name == name)
    wires = real.events_of(recording)
    past, now = real.with_history(wires, wires)
    assert real.count(now, past).alerts == {}


def test_nearly_all_labelled_flows_fit_a_signal_without_a_history() -> None:
    assert real is not None
    labelled = real.labelled()
    assert len(labelled) == 244
    fitting = cold(real.NJRAT.name).fitting
    assert len(set().union(*fitting.values()) & labelled) == 242
    assert len(fitting["unknown_service"] & labelled) == 237


@pytest.mark.parametrize(("name", "packets"), [("DroidJack, packets", 1472), ("SpyMax, packets", 1414)])
def test_the_packets_of_the_remote_access_trojans_fit_a_signal(name: str, packets: int) -> None:
    assert cold(name).signals["unknown_service"] == packets


def test_with_its_background_as_history_the_infected_machine_alerts_and_no_other() -> None:
    assert real is not None
    wires, labelled = real.events_of(real.NJRAT), real.labelled()
    past, now = real.with_history(wires, [w for w in wires if w["id"] not in labelled])
    victims = {w["device"] for w in wires if w["id"] in labelled}
    assert real.count(now, past).alerts == {"command_channel": victims}
    background = [w for w in now if w["id"] not in labelled]
    assert real.count(background, past).alerts == {}


def test_exactly_the_devices_with_a_whole_chain_alert() -> None:
    assert real is not None
    alerts, wanted = real.injected()
    assert len(wanted) == 4
    assert {device for devices in alerts.values() for device in devices} == set(wanted)
    for device, rule in wanted.items():
        assert device in alerts[rule]


def test_a_healthy_phone_shows_few_signals() -> None:
    """But for processes that are forgotten: a novelty key keeps 64 values, and the phone has more."""
    for name in NAMES[:5]:
        found = cold(name)
        rates = {signal: n / found.device_days for signal, n in found.signals.items()}
        assert rates.pop("new_process", 0.0) < 10
        assert all(rate < 1 for rate in rates.values())


def test_the_page_says_what_the_engine_says() -> None:
    assert report is not None
    assert report.PAGE.read_text("utf-8") == report.page(), "run `python docs/make_real_data_report.py`"


def test_the_page_names_nobody() -> None:
    assert report is not None
    assert real is not None
    text = report.PAGE.read_text("utf-8")
    said = {
        str(wire[field])
        for recording in real.RECORDINGS
        for wire in real.events_of(recording)
        for field in ("host", "ip", "app", "client_ip", "client_mac")
        if field in wire
    }
    assert {word for word in said if len(word) > 3 and word in text} == set()
