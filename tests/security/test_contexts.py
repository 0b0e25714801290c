"""The contexts of the NATS command-line client: which settings they give, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from broker import Broker, connect

from engine.cli import main
from engine.service.errors import SettingsError
from engine.service.settings import load_settings

RULES = "EVENT a { }\nEVENT b { }\nRULE r { WHEN a THEN b WITHIN 1m SEVERITY low }\n"


def write(folder: Path, name: str, content: dict[str, Any] | str) -> dict[str, str]:
    """A context below ``folder``; gives the environment that finds it."""
    path = folder / "nats" / "context" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return {"XDG_CONFIG_HOME": str(folder)}


def test_what_a_context_says_becomes_settings(tmp_path: Path) -> None:
    # The client writes all keys, the empty ones too.
    environment = write(
        tmp_path,
        "prod",
        {
            "description": "production",
            "url": "tls://a:4222,tls://b:4222",
            "socks_proxy": "",
            "token": "",
            "user": "",
            "password": "",
            "creds": "~/user.creds",
            "nkey": "",
            "cert": "/c.pem",
            "key": "/k.pem",
            "ca": "/ca.pem",
            "nsc": "",
            "jetstream_domain": "hub",
            "jetstream_api_prefix": "",
            "inbox_prefix": "_INBOX_eng",
            "user_jwt": "",
            "tls_first": True,
        },
    )
    settings = load_settings({"context": "prod"}, environment | {"HOME": "/home/somebody"})
    assert settings.servers == ("tls://a:4222", "tls://b:4222")
    assert settings.credentials_file == "/home/somebody/user.creds"
    assert (settings.certificate_file, settings.key_file, settings.ca_file) == ("/c.pem", "/k.pem", "/ca.pem")
    assert (settings.jetstream_domain, settings.inbox_prefix, settings.tls_first) == (
        "hub",
        "_INBOX_eng",
        True,
    )


def test_where_a_context_is_found(tmp_path: Path) -> None:
    write(tmp_path / ".config", "one", {"url": "nats://one:4222"})
    write(tmp_path / ".config", "two", {"url": "nats://two:4222"})
    (tmp_path / ".config" / "nats" / "context.txt").write_text("two\n")
    home = {"HOME": str(tmp_path)}
    assert load_settings({"context": "one"}, home).servers == ("nats://one:4222",)
    assert load_settings({"context": "@"}, home).servers == ("nats://two:4222",)
    assert load_settings({}, home | {"NATS_CONTEXT": "one"}).servers == ("nats://one:4222",)
    # A service does not follow what somebody has last selected unless it is told to.
    assert load_settings({}, home).servers == ("nats://127.0.0.1:4222",)


def test_the_nearer_word_wins_and_a_login_is_one_whole(tmp_path: Path) -> None:
    environment = write(tmp_path, "c", {"url": "nats://c:1", "user": "u", "password": "p", "ca": "/c.pem"})
    given = load_settings({"context": "c", "servers": "nats://mine:1", "token": "t"}, environment)
    assert (given.servers, given.token, given.user, given.ca_file) == (
        ("nats://mine:1",),
        "t",
        None,
        "/c.pem",
    )
    more = environment | {"NATS_URL": "nats://e:1", "NATS_CREDS": "/e.creds", "NATS_CA": "/e.pem"}
    named = load_settings({"context": "c"}, more)
    assert (named.servers, named.user, named.credentials_file, named.ca_file) == (
        ("nats://c:1",),
        "u",
        None,
        "/c.pem",
    )
    weak = load_settings({}, more | {"NATS_CONTEXT": "c"})
    assert (weak.servers, weak.user, weak.credentials_file) == (("nats://e:1",), None, "/e.creds")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("gone", None, "There is no NATS context 'gone': FOLDER/nats/context/gone.json' does not exist."),
        ("c", "no json secret-1", "The file of the NATS context 'c' is no JSON object."),
        ("c", "[1]", "The file of the NATS context 'c' is no JSON object."),
        ("c", "[" * 5000, "The file of the NATS context 'c' is no JSON object."),
        ("c", '"' + "x" * 70_000 + '"', "The file of the NATS context 'c' is no JSON object."),
        (
            "c",
            {"nsc": "nsc://o/a/u"},
            "The NATS context 'c' uses 'nsc', which thenwire cannot follow; give the settings themselves.",
        ),
        (
            "c",
            {"socks_proxy": "socks5://secret-1@p"},
            "The NATS context 'c' uses 'socks_proxy', which thenwire cannot follow; "
            "give the settings themselves.",
        ),
        ("../c", {}, "'../c' is no name of a NATS context."),
        ("a/b", {}, "'a/b' is no name of a NATS context."),
        ("", {}, "'' is no name of a NATS context."),
        ("@", None, "No NATS context is selected: FOLDER/nats/context.txt' names none."),
        ("c", {"url": 4222}, "Setting servers: expected array, got int."),
        ("c", {"url": "nats://u:secret-1@ho st"}, "no server address"),
    ],
)
def test_a_context_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, name: str, content: Any, sentence: str
) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    if content is not None:
        write(tmp_path, "c", content)
    with pytest.raises(SettingsError) as caught:
        load_settings({"context": name}, environment)
    said = str(caught.value)
    assert sentence.replace("FOLDER", f"'{tmp_path}") in said
    assert "secret" not in said


def test_the_command_takes_a_context(
    tmp_path: Path,
    server_binary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rules = tmp_path / "r.rule"
    rules.write_text(RULES)
    users = 'authorization { users = [ { user: "me", password: "secret-1" } ] }'
    with Broker(server_binary, tmp_path / "nats", users) as broker:
        write(tmp_path, "good", {"url": broker.url, "user": "me", "password": "secret-1"})
        environment = write(tmp_path, "bad", {"url": broker.url, "user": "me", "password": "secret-2"})
        assert connect({"context": "good"}, environment) == "connected"
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        assert main(["run", "--rules", str(rules), "--context", "bad"]) == 2
        said = capsys.readouterr().err
        assert "The NATS server refused the login (the user 'me' and a password)." in said
        assert main(["run", "--rules", str(rules), "--context", "none"]) == 2
        assert "There is no NATS context 'none'" in capsys.readouterr().err
