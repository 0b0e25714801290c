"""The commands as people and scripts use them: output, exit codes, and bad input of every kind."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.cli import main

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
RULES = """
EVENT net flow { app: string bytes_out: int UNIT bytes }
EVENT app exit { app: string class: string }
RULE crash after upload "A crash after a large upload" {
  BY device, app
  WHEN net flow [bytes_out > 1MB] AS upload THEN app exit [class == "memory_violation"] AS crash WITHIN 10m
  SEVERITY high
}
TEST "fires" FOR crash after upload {
  AT 0s net flow { app: "a" bytes_out: 2_000_000 }
  AT 10m app exit { app: "a" class: "memory_violation" }
  EXPECT ALERT @10m { severity: "high" upload.bytes_out: 2_000_000 }
}
TEST "too late" FOR crash after upload {
  AT 0s net flow { app: "a" bytes_out: 2_000_000 }
  AT 10m1ms app exit { app: "a" class: "memory_violation" }
  EXPECT NONE
}
"""
FLOW = {"kind": "net.flow", "device": "d1", "time": 1_700_000_000_000, "app": "a", "bytes_out": 2_000_000}
EXIT = {
    "kind": "app.exit",
    "device": "d1",
    "time": 1_700_000_060_000,
    "app": "a",
    "class": "memory_violation",
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.rule"
    path.write_text(RULES)
    return path


def recording(path: Path, *events: object) -> Path:
    path.write_bytes(b"".join(e if isinstance(e, bytes) else json.dumps(e).encode() + b"\n" for e in events))
    return path


def test_check_says_what_loaded(run: Run, rules: Path) -> None:
    code, out, _ = run("check", rules)
    assert code == 0
    assert "1 file: 1 rule and 2 tests loaded, 0 errors" in out


def test_check_finds_three_bad_rules_and_loads_two(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mixed.rule"
    path.write_text(
        RULES
        + """
RULE bad one { WHEN net flow THEN THEN app exit WITHIN 5m }
RULE bad two { WHEN net flow THEN app exits WITHIN 5m }
RULE bad three { WHEN net flow THEN app exit }
RULE good two { WHEN net flow [bytes_out > 5MB] THEN app exit [class == "guard"] WITHIN 5m }
"""
    )
    code, out, _ = run("check", "--json", path)
    assert code == 1
    found = [json.loads(line) for line in out.splitlines()]
    errors = [f for f in found if f["severity"] == "error"]
    assert [f["code"] for f in errors] == ["TW106", "TW201", "TW401"]
    assert all(f["file"] == str(path) and f["line"] and f["hint"] for f in errors)
    _, out, _ = run("check", path)
    assert "2 rules" in out


def test_the_shipped_rules_are_clean(run: Run) -> None:
    """But for warnings that tests/rules/test_reference.py justifies one by one."""
    code, out, _ = run("check", ROOT / "rules")
    assert (code, "error" in out.replace("0 errors", "")) == (0, False)


def test_a_pack_is_known_by_its_name(run: Run) -> None:
    assert run("check", "mobile")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("check", "nowhere"),
        ("check", "--nonsense"),
        ("nonsense",),
        ("replay", "--rules", "mobile"),
        ("replay", "--rules", "mobile", "nowhere.json"),
        ("replay", "--rules", "mobile", "--source", "nonsense", "x"),
        ("replay", "--rules", "mobile", "--time-zone", "Mars/Olympus", "x"),
        ("replay", "--rules", "nowhere", "x"),
        ("test", "mobile", "-k", "no such test"),
        ("check", "mobile", "--set", "crash_window"),
        ("run", "--rules", "mobile", "--max-skew", "soon"),
        ("run", "--rules", "mobile", "--servers", "::::"),
        ("run", "--rules", "mobile", "--servers", "nats://127.0.0.1:99999"),
        ("run", "--rules", "mobile", "--log-level", "shout"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert "Traceback" not in err
    assert err.strip() or arguments == ("nonsense",)


def test_test_passes_and_fails_and_says_vacuous(run: Run, rules: Path, tmp_path: Path) -> None:
    code, out, _ = run("test", rules)
    assert code == 0
    assert "2 passed, 0 failed, 0 vacuous" in out
    path = tmp_path / "more.rule"
    path.write_text(
        RULES
        + """
TEST "wrong severity" FOR crash after upload {
  AT 0s net flow { app: "a" bytes_out: 2_000_000 }
  AT 1m app exit { app: "a" class: "memory_violation" }
  EXPECT ALERT @2m { severity: "low" }
}
TEST "shows nothing" FOR crash after upload {
  AT 0s net flow { app: "a" bytes_out: 5 }
  AT 1m app exit { app: "a" class: "memory_violation" }
  EXPECT NONE
}
"""
    )
    code, out, _ = run("test", "--json", path)
    assert code == 1
    results = [json.loads(line) for line in out.splitlines()]
    assert [r["outcome"] for r in results] == ["passed", "passed", "failed", "vacuous"]
    assert "at @1m, not @2m" in results[2]["lines"][0]
    assert "`severity` is 'high', not 'low'" in results[2]["lines"][1]
    assert "no event fits the first step" in results[3]["lines"][0]
    code, out, _ = run("test", path, "-k", "FIRES")
    assert code == 0
    assert "1 passed" in out


def test_a_deployment_sets_a_param(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "param.rule"
    path.write_text(RULES.replace("WITHIN 10m", "WITHIN crash_window") + "PARAM crash_window = 10m\n")
    assert run("test", path)[0] == 0
    code, out, _ = run("test", path, "--set", "crash_window=11m")
    assert code == 1
    assert "EXPECT NONE" in out
    code, _, err = run("test", path, "--set", "crash_windw=11m")
    assert code != 0
    assert "crash_windw" in err


def test_replay_prints_alerts_as_lines(run: Run, rules: Path, tmp_path: Path) -> None:
    path = recording(tmp_path / "in.ndjson", FLOW, EXIT)
    code, out, err = run("replay", "--rules", rules, "--json", path)
    assert code == 0
    (alert,) = [json.loads(line) for line in out.splitlines()]
    assert alert["rule"]["name"] == "crash_after_upload"
    assert alert["severity"] == "high"
    assert alert["window"]["elapsed_ms"] == 60_000
    assert [s["name"] for s in alert["steps"]] == ["upload", "crash"]
    assert "2 events of 1 device, 1 rule, 1 alert" in err


def test_replay_shows_a_table(run: Run, rules: Path, tmp_path: Path) -> None:
    code, out, _ = run("replay", "--rules", rules, "--", recording(tmp_path / "in.ndjson", FLOW, EXIT))
    assert code == 0
    assert "crash after upload" in out
    assert "A crash after a large upload" in " ".join(out.split())
    code, _, _ = run(
        "replay", "--rules", rules, "--fail-on-alert", recording(tmp_path / "in.ndjson", FLOW, EXIT)
    )
    assert code == 1


def test_recordings_may_stand_behind_the_rules(run: Run, rules: Path, tmp_path: Path) -> None:
    path = recording(tmp_path / "in.ndjson", FLOW, EXIT)
    assert "crash after upload" in run("replay", "--rules", rules, path)[1]
    assert "crash after upload" in run("replay", path, "--rules", rules)[1]


def test_replay_merges_files_by_time_and_unpacks(run: Run, rules: Path, tmp_path: Path) -> None:
    exits = tmp_path / "exits.ndjson.gz"
    exits.write_bytes(gzip.compress(json.dumps(EXIT).encode() + b"\n"))
    flows = recording(tmp_path / "flows.ndjson", FLOW)
    code, out, _ = run("replay", "--rules", rules, "--json", exits, flows)
    assert code == 0
    assert len(out.splitlines()) == 1


def test_terminal_escapes_of_a_device_name_do_not_reach_the_terminal(
    run: Run, rules: Path, tmp_path: Path
) -> None:
    evil = "\x1b[2Jd\u202e1[bold]"
    path = recording(tmp_path / "in.ndjson", FLOW | {"device": evil}, EXIT | {"device": evil})
    _, out, err = run("replay", "--rules", rules, path)
    assert "\x1b[2J" not in out + err
    assert "\u202e" not in out + err
    assert "[bold]" in out


DEEP = b'{"a":' * 50_000


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("truncated", json.dumps(FLOW).encode()[:-20], "unknown_format"),
        ("empty", b"", "empty_file"),
        ("nul", b"\0" * 5000, "unknown_format"),
        ("text", b"hello\nworld\n", "unknown_format"),
        ("utf16", json.dumps(FLOW).encode("utf-16"), "not_utf8"),
        ("deep", DEEP, "unknown_format"),
    ],
)
def test_garbage_is_refused_with_a_reason(
    run: Run, rules: Path, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    code, out, err = run("replay", "--rules", rules, "--json", path)
    assert code == 2
    assert out == ""
    assert f"1 record refused: {reason}" in err
    assert str(path.name) in err


def test_bad_events_are_counted_by_reason_and_the_good_ones_go_on(
    run: Run, rules: Path, tmp_path: Path
) -> None:
    path = recording(
        tmp_path / "in.ndjson",
        FLOW,
        FLOW | {"bytes_out": "many"},
        {k: v for k, v in FLOW.items() if k != "app"},
        FLOW | {"time": "yesterday"},
        FLOW | {"time": 1.5},
        FLOW | {"device": ""},
        FLOW | {"bytes_out": 10**30},
        b'{"kind":"net.flow","device":"d1",\n',
        b'{"kind":"net.flow","device":"d\\u0000","time":}\n',
        FLOW | {"kind": "net.flows"},
        FLOW | {"kind": 7},
        b"[1,2]\n",
        EXIT,
    )
    code, out, err = run("replay", "--rules", rules, "--json", path)
    assert code == 0
    assert len(out.splitlines()) == 1
    assert "records refused: wrong_type" in err
    assert "1 record refused: missing_field" in err
    assert "1 record refused: bad_time" in err
    assert "records refused: malformed_json" in err
    assert "1 event passed over: no EVENT declares the kind net.flows" in err
    assert "in.ndjson:2" in err


def test_a_line_of_100_mb_is_skipped_in_constant_memory(rules: Path, tmp_path: Path) -> None:
    """In a process of its own, so that its peak memory is its own."""
    path = tmp_path / "huge.ndjson"
    with path.open("wb") as file:
        file.write(json.dumps(FLOW).encode() + b"\n" + b'{"kind":"net.flow","device":"')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + json.dumps(EXIT).encode() + b"\n")
    script = (
        "import sys\n"
        "from engine.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "status = open('/proc/self/status').read() if sys.platform == 'linux' else 'VmHWM: 0 kB'\n"
        "print('peak', int(status.split('VmHWM:')[1].split()[0]) // 1024, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "replay", "--rules", str(rules), "--json", str(path)],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "1 record refused: line_too_long" in done.stderr
    peak = int(done.stderr.rsplit("peak ", 1)[1])
    assert peak < 120, f"{peak} MiB"


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("zeek/slips_test10_mixed_tsv/conn.log", ()),
        ("zeek/slips_test9_mixed_json/conn.log", ()),
        ("ios/crash/macos12_sleep_bugtype309_json_layout.ips", ()),
        ("ios/crash/ios14_itunescloudd_abort_bugtype109.ips", ()),
        ("ios/app_privacy_report/plaso_ios15_app_privacy_report.ndjson", ("--device", "phone")),
    ],
)
def test_real_telemetry_goes_through_the_mobile_pack(run: Run, file: str, arguments: tuple[str, ...]) -> None:
    path = SHARED / file
    if not path.exists():
        pytest.skip("the shared real data is not here")
    code, out, err = run("replay", "--rules", ROOT / "rules" / "mobile", "--json", *arguments, path)
    assert code == 0
    assert out == ""
    assert "refused" not in err
    assert not err.startswith("0 events")


def test_version(run: Run) -> None:
    code, out, _ = run("version")
    assert (code, out) == (0, "thenwire 0.1.0\n")


def test_a_reader_that_goes_away_is_no_error(rules: Path, tmp_path: Path) -> None:
    events = [e | {"device": f"d{i}"} for i in range(3000) for e in (FLOW, EXIT)]
    path = recording(tmp_path / "in.ndjson", *events)
    command = f"{sys.executable} -m engine.cli replay --rules {rules} --json {path} | head -1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT, timeout=120
    )
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
