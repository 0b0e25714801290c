"""The command over files of several formats: what a person sees."""

import json
from pathlib import Path

import pytest
from samples import INSTALLATION, TCC

from engine.cli import main

RULES = """
EVENT net flow { bytes_out: int? UNIT bytes }
EVENT app lifecycle { app: string phase: string }
EVENT permission change { app: string? permission: string granted: bool }
RULE mic then gone {
  WHEN permission change [granted AND permission == "mic"] THEN app lifecycle [phase == "remove"] WITHIN 1h
}
RULE upload { WHEN net flow [bytes_out > 1KB] THEN net flow [bytes_out > 1KB] WITHIN 1h }
"""
FLOW = {"id.orig_h": "10.0.0.7", "id.resp_h": "203.0.113.7", "proto": "tcp",
        "orig_bytes": 5000, "conn_state": "SF"}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.rule").write_text(RULES)
    (tmp_path / "install.log").write_bytes(INSTALLATION)
    (tmp_path / "TCC.db").write_bytes(TCC)
    lease = {"kind": "ident.lease", "device": "phone-1", "time": 1772442000000, "valid_from": 1772441000000}
    leases = [lease | {"ip": "10.0.0.7"}, lease]
    flows = [FLOW | {"ts": 1772442000.5 + n} for n in range(3)]
    for name, rows in (("leases.ndjson", leases), ("conn.log", flows)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(capfd: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> tuple[int, list[str], str]:
    names = [str(folder / name) if "." in name and not name.startswith("-") else name for name in arguments]
    code = main(["replay", *names, "--json", "--rules", str(folder / "rules.rule")])
    out, err = capfd.readouterr()
    return code, [json.loads(line)["device"] for line in out.splitlines()], err


def test_a_database_and_a_log_with_local_times(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    code, devices, _ = run(
        capfd, folder, "TCC.db", "install.log", "--device", "phone-9", "--time-zone", "+01:00"
    )
    assert (code, devices) == (0, ["phone-9"])
    code, devices, err = run(capfd, folder, "TCC.db", "install.log", "--device", "phone-9")
    assert (code, devices) == (0, [])
    assert "missing_zone" in err


def test_leases_name_the_device_and_the_summary_says_so(
    capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    _, devices, err = run(capfd, folder, "conn.log", "leases.ndjson")
    assert set(devices) == {"phone-1"}
    assert "1 lease named the device of 3 events; 0 events kept the address" in err
    assert "1 lease could not be used" in err
    _, devices, err = run(capfd, folder, "conn.log")
    assert set(devices) == {"10.0.0.7"}
    assert "lease" not in err
