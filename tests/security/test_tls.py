"""TLS and mutual TLS against a real server: what connects, and the sentence for each thing that must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="certificates are made with the package cryptography")

from broker import Broker, connect
from certificates import DAY, Authority

from engine.cli import main

RULES = "EVENT a { }\nEVENT b { }\nRULE r { WHEN a THEN b WITHIN 1m SEVERITY low }\n"


def tls(pair: tuple[Path, Path], more: str = "") -> str:
    return f'tls {{ cert_file: "{pair[0]}", key_file: "{pair[1]}", {more} }}\n'


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_tls_connects_with_the_authority(tmp_path: Path, server_binary: Path, authority: Authority) -> None:
    with Broker(server_binary, tmp_path / "nats", tls(authority.certificate("server")), "tls") as broker:
        assert connect({"servers": broker.url, "ca_file": str(authority.path)}) == "connected"
        # The offer of the server is enough: the scheme need not say it.
        assert connect({"servers": broker.address, "ca_file": str(authority.path)}) == "connected"


def test_tls_before_the_server_speaks(tmp_path: Path, server_binary: Path, authority: Authority) -> None:
    configuration = tls(authority.certificate("server"), "handshake_first: true")
    with Broker(server_binary, tmp_path / "nats", configuration, "tls") as broker:
        mapping = {"servers": broker.url, "ca_file": str(authority.path), "tls_first": True}
        assert connect(mapping) == "connected"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"begin": -2 * DAY, "end": -DAY}, "The certificate of the NATS server at ADDRESS has expired."),
        (
            {"begin": DAY / 2, "end": DAY},
            "The certificate of the NATS server at ADDRESS is not valid yet; "
            "this machine's clock may be wrong.",
        ),
        ({"address": None}, "The certificate of the NATS server is not for the name in ADDRESS."),
        ({"address": "127.0.0.2"}, "The certificate of the NATS server is not for the name in ADDRESS."),
    ],
)
def test_a_certificate_that_does_not_fit_is_a_sentence(
    tmp_path: Path,
    server_binary: Path,
    authority: Authority,
    changes: dict[str, Any],
    sentence: str,
) -> None:
    pair = authority.certificate("server", **changes)
    with Broker(server_binary, tmp_path / "nats", tls(pair), "tls") as broker:
        said = connect({"servers": broker.url, "ca_file": str(authority.path)})
        assert said == sentence.replace("ADDRESS", broker.url)


def test_an_unknown_authority_is_a_sentence_and_exit_code_2(
    tmp_path: Path,
    server_binary: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = Authority(tmp_path, "other")
    rules = tmp_path / "r.rule"
    rules.write_text(RULES)
    with Broker(server_binary, tmp_path / "nats", tls(authority.certificate("server")), "tls") as broker:
        expected = (
            f"The certificate of the NATS server at {broker.url} is not signed by an authority that is "
            "trusted here: set NATS_CA."
        )
        assert connect({"servers": broker.url, "ca_file": str(other.path)}) == expected
        # Without any authority of our own those of the system are used, and they do not know it either.
        assert connect({"servers": broker.url}) == expected
        monkeypatch.setenv("NATS_CA", str(other.path))
        assert main(["run", "--rules", str(rules), "--servers", broker.url]) == 2
        assert f"thenwire: {expected}\n" in capsys.readouterr().err


def test_mutual_tls(tmp_path: Path, server_binary: Path, authority: Authority) -> None:
    client = authority.certificate("client")
    stranger = Authority(tmp_path, "other").certificate("stranger")
    configuration = tls(authority.certificate("server"), f'ca_file: "{authority.path}", verify: true')

    def attempt(url: str, pair: tuple[Path, Path] | None) -> str:
        files = {} if pair is None else {"certificate_file": str(pair[0]), "key_file": str(pair[1])}
        return connect({"servers": url, "ca_file": str(authority.path), **files})

    with Broker(server_binary, tmp_path / "nats", configuration, "tls") as broker:
        assert attempt(broker.url, client) == "connected"
        assert attempt(broker.url, None) == (
            f"The NATS server at {broker.url} asks for a client certificate: set NATS_CERT and NATS_KEY."
        )
        assert attempt(broker.url, stranger) == (
            f"The NATS server at {broker.url} refused the client certificate {str(stranger[0])!r}."
        )


def test_a_user_by_certificate(tmp_path: Path, server_binary: Path, authority: Authority) -> None:
    client, other = authority.certificate("client"), authority.certificate("other")
    configuration = (
        tls(authority.certificate("server"), f'ca_file: "{authority.path}", verify_and_map: true')
        + 'authorization { users = [ { user: "client.test" } ] }'
    )
    with Broker(server_binary, tmp_path / "nats", configuration, "tls") as broker:
        base = {"servers": broker.url, "ca_file": str(authority.path)}
        good = {"certificate_file": str(client[0]), "key_file": str(client[1])}
        bad = {"certificate_file": str(other[0]), "key_file": str(other[1])}
        assert connect(base | good) == "connected"
        assert connect(base | bad) == "The NATS server refused the login (no login)."


@pytest.mark.parametrize("asked", [{"scheme": "tls"}, {"scheme": "nats", "ca": True}])
def test_no_login_goes_over_a_connection_without_tls(
    tmp_path: Path, server_binary: Path, authority: Authority, asked: dict[str, Any]
) -> None:
    with Broker(server_binary, tmp_path / "nats", "authorization { token: secret-1 }\ntrace: true") as broker:
        url = f"{asked['scheme']}://{broker.address}"
        files = {"ca_file": str(authority.path)} if "ca" in asked else {}
        assert connect({"servers": url, "token": "secret-1", **files}) == (
            f"The NATS server at {url} offers no TLS, which the settings ask for; no login was sent."
        )
        assert "CONNECT" not in broker.log
        # The same login without the wish for TLS is sent, so the line above looks at the right thing.
        assert connect({"servers": broker.url, "token": "secret-1"}) == "connected"
        assert "CONNECT" in broker.log


def test_files_that_cannot_be_used(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.certificate("client")
    _, locked = authority.certificate("locked", pass_phrase=b"pass-phrase-1")
    text = tmp_path / "notes.txt"
    text.write_text("no certificate")
    beginning = "The files of NATS_CA, NATS_CERT and NATS_KEY cannot be used: "
    for files in (
        {"ca_file": "/nowhere/ca.pem"},
        {"ca_file": str(text)},
        {"certificate_file": str(certificate), "key_file": str(locked)},
        {"certificate_file": str(certificate), "key_file": str(text)},
    ):
        said = connect({"servers": "tls://127.0.0.1:9", **files})
        assert said.startswith(beginning), said
        assert said.endswith("."), said
    assert connect({"servers": "tls://127.0.0.1:9", "ca_file": "/nowhere/ca.pem"}) == (
        beginning + "no such file or directory."
    )
    # The key of another certificate.
    other, _ = authority.certificate("other")
    said = connect({"certificate_file": str(other), "key_file": str(key)})
    assert said == beginning + "key values mismatch."
