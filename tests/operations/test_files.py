"""The files of docs/operations are of use: names exist, options exist, servers and units start with them."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.cli import app
from engine.service.operations.metrics import METRICS
from engine.service.serve import run_loop
from engine.service.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = DOCS / "operations"
EXPORTED = {metric.name for metric in METRICS}
OTHERS = {"process_resident_memory_bytes"}
"""Of prometheus-client."""


def named(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:thenwire|process)_[a-z_]+", expression))


def alerts() -> str:
    return (FILES / "prometheus-alerts.yml").read_text("utf-8")


def dashboard() -> Any:
    return json.loads((FILES / "grafana-dashboard.json").read_text("utf-8"))


def test_every_metric_of_the_dashboard_is_exported() -> None:
    board = dashboard()
    expressions = [t["expr"] for panel in board["panels"] for t in panel["targets"]]
    queries = [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    found = {name for text in (*expressions, *queries) for name in named(text)}
    assert found - EXPORTED - OTHERS == set()
    assert len(found) > 25


def test_labels_of_the_dashboard_are_those_of_the_metrics() -> None:
    labels = {metric.name: set(metric.labels) for metric in METRICS}
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            names = named(target["expr"]) & EXPORTED
            given = {label for name in names for label in labels[name]} | {"instance", "job"}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= given, panel["title"]


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    board = dashboard()
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


def test_every_metric_of_the_alert_rules_is_exported() -> None:
    found = named("".join(line for line in alerts().splitlines() if "description" not in line))
    assert found - EXPORTED - OTHERS == set()
    assert len(found) > 10


def test_the_alert_rules_are_what_prometheus_reads() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (group,) = yaml.safe_load(alerts())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names) > 10
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))


def options_exist(words: list[str]) -> None:
    """The words after ``thenwire`` are a command with options that it has."""
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert command.__name__ == words[0]
    assert bound.arguments


def unit() -> str:
    return (FILES / "thenwire.service").read_text("utf-8")


def test_the_unit_starts_a_command_that_exists() -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", unit(), re.MULTILINE)
    words = shlex.split(line)
    assert words[0].endswith("/thenwire")
    options_exist(words[1:])
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)s$", unit(), re.MULTILINE)
    assert int(seconds) > Settings().stop_timeout


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here")
    path = tmp_path / "thenwire.service"
    path.write_text(unit().replace("/opt/thenwire/bin/thenwire", sys.executable))
    done = subprocess.run([program, "verify", str(path)], capture_output=True, text=True, timeout=60)
    said = [line for line in done.stderr.splitlines() if path.name in line]
    if done.returncode and not said:
        pytest.skip(f"systemd-analyze cannot work here: {done.stderr.strip()[:200]}")
    assert said == []


def test_systemd_finds_little_to_say_against_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here")
    command = [program, "security", "--offline=true", "--threshold=20", str(FILES / "thenwire.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "exposure level" not in done.stdout:
        pytest.skip(f"systemd-analyze cannot do that: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, "the exposure is more than 2.0 of 10"


def test_the_image_runs_a_command_that_exists_and_no_root() -> None:
    text = (FILES / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    known = {
        *("FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE"),
        *("STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
    }
    assert {word for word, _ in lines} <= known
    last = dict(lines)
    user = last["USER"].partition(":")[0]
    assert user.isdigit()
    assert int(user) > 0
    assert json.loads(last["ENTRYPOINT"]) == ["thenwire"]
    words = json.loads(last["CMD"])
    options_exist(words)
    port = words[words.index("--http") + 1].rpartition(":")[2]
    assert last["EXPOSE"] == port
    assert f"127.0.0.1:{port}/healthz" in last["HEALTHCHECK"]
    root = DOCS.parent
    for word, rest in lines:
        if word == "COPY" and not rest.startswith("--from"):
            assert all((root / name).exists() for name in rest.split()[:-1])
        if word == "FROM":
            image = rest.split()[0]
            assert ":" in image
            assert not image.endswith(":latest")


class ExampleServer:
    """A server with the files of the documentation, but for its address and directory."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self.binary, self.directory = binary, directory
        text = (FILES / "nats-server.conf").read_text()
        assert '"/var/lib/nats"' in text
        (directory / "nats-server.conf").write_text(text.replace("/var/lib/nats", str(directory / "store")))
        shutil.copy(DOCS / "reference" / "nats-users.conf", directory)
        self.passwords = {
            name: f"pw-{name.lower()}"
            for name in re.findall(r"\$(\w+_PASSWORD)", (directory / "nats-users.conf").read_text())
        }

    def command(self, *more: str) -> list[str]:
        config = str(self.directory / "nats-server.conf")
        return [str(self.binary), "-c", config, "-a", "127.0.0.1", "-p", "-1", *more]

    def __enter__(self) -> "ExampleServer":
        ports = self.directory / "ports"
        ports.mkdir()
        # The port of the monitoring page is given up: several tests may run at a time.
        text = (self.directory / "nats-server.conf").read_text()
        (self.directory / "nats-server.conf").write_text(
            text.replace('http: "127.0.0.1:8222"', f'ports_file_dir: "{ports}"')
        )
        self.process = subprocess.Popen(
            self.command(), env={**os.environ, **self.passwords}, stderr=subprocess.DEVNULL
        )
        while not list(ports.glob("*.ports")):
            assert self.process.poll() is None, "the server did not start"
        (file,) = ports.glob("*.ports")
        self.url = json.loads(file.read_text())["nats"][0]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def login(self, user: str) -> dict[str, str]:
        return {"user": user, "password": self.passwords[f"{user.upper()}_PASSWORD"]}


def test_the_server_takes_its_configuration(server_binary: Path, tmp_path: Path) -> None:
    example = ExampleServer(server_binary, tmp_path)
    done = subprocess.run(
        example.command("-t"), env={**os.environ, **example.passwords}, capture_output=True, text=True
    )
    assert "is valid" in done.stdout + done.stderr, done.stderr


def test_the_service_runs_with_the_rights_of_the_example(
    server_binary: Path, tmp_path: Path, operating: Any
) -> None:
    """Detection, /readyz, checkpoints aside, and the endpoints, with the documented user and no more."""
    import nats

    async def scenario(example: ExampleServer) -> None:
        operator = await nats.connect(example.url, **example.login("operator"))
        jetstream = operator.jetstream()
        window = {"duplicate_window": 7200}
        await jetstream.add_stream(name="EVENTS", subjects=["events.>"], **window)
        await jetstream.add_stream(name="ALERTS", subjects=["alerts.>"], **window)
        await jetstream.add_stream(name="DLQ", subjects=["dlq.thenwire.>", "late.thenwire.>"], **window)
        settings = Settings(
            servers=(example.url,),
            **example.login("thenwire"),
            manage_streams=False,
            inbox_prefix="_INBOX_thenwire",
            http_address="127.0.0.1:0",
            endpoints=True,
        )
        async with asyncio.timeout(60), operating.service(settings) as service:
            producer = await nats.connect(example.url, **example.login("producer"))
            time = 1_772_438_400_000
            for kind, more in (("flow", {"bytes_out": 5000, "host": "h"}), ("crash", {})):
                time += 1_000
                event = {"kind": kind, "device": "d", "time": time, **more}
                await producer.jetstream().publish("events.x", json.dumps(event).encode())
            while service.operations.status().output.stored.get("alerts") != 1:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.01)
            assert await service.get("/readyz") == (200, "ready\n")
            found = await operating.ask(operator, "status")
            assert found["alerts"] == 1
            # Reading the stream again needs more than the service itself; it says so and goes on.
            code, sentence = await operating.ask(operator, "why", {"rule": "busy", "device": "d"})
            assert code == "422"
            assert sentence.startswith("The NATS user lacks a permission: publish to "), sentence
            assert await service.get("/readyz") == (200, "ready\n")
            await producer.close()
        await operator.close()

    with ExampleServer(server_binary, tmp_path) as example:
        run_loop(scenario(example))
