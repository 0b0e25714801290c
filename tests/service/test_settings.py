"""Settings come from a mapping and the environment; what is wrong is one sentence naming the setting."""

from typing import Any

import pytest

from engine.service.errors import SettingsError
from engine.service.settings import Settings, load_settings, without_login


def test_defaults() -> None:
    settings = load_settings({}, {})
    assert settings.servers == ("nats://127.0.0.1:4222",)
    assert settings.input_subjects == ("events.>",)
    assert settings.duplicate_window == 2 * 3600
    assert settings.manage_streams


def test_the_environment_completes_the_mapping() -> None:
    settings = load_settings(
        {"certificate_file": "mine.pem"},
        {
            "NATS_URL": "nats://a:4222, tls://b:4222",
            "NATS_USER": "u",
            "NATS_PASSWORD": "p",
            "NATS_CA": "ca.pem",
            "NATS_CERT": "theirs.pem",
            "NATS_KEY": "key.pem",
            "NATS_NKEY": "",
        },
    )
    assert settings.servers == ("nats://a:4222", "tls://b:4222")
    assert (settings.user, settings.password) == ("u", "p")
    assert (settings.ca_file, settings.certificate_file, settings.key_file) == (
        "ca.pem",
        "mine.pem",
        "key.pem",
    )
    assert settings.nkey_file is None


def test_a_login_in_the_mapping_displaces_the_one_in_the_environment() -> None:
    settings = load_settings({"token": "t"}, {"NATS_USER": "u", "NATS_PASSWORD": "p", "NATS_CREDS": "c"})
    assert settings.token == "t"
    assert settings.user is None
    assert settings.credentials_file is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200.0), ("1h30m", 5400.0), ("90 s", 90.0), ("1500ms", 1.5), ("1.5d", 129600.0)],
)
def test_durations_may_be_text(text: str, seconds: float) -> None:
    settings = load_settings({"duplicate_window": text, "input_max_age": 0, "dead_letter_max_age": 0}, {})
    assert settings.duplicate_window == seconds


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"pull_batsh": 3}, "no setting named 'pull_batsh'"),
        ({"pull_batch": "many"}, "pull_batch: expected int"),
        ({"pull_batch": 0}, "pull_batch must be at least 1"),
        ({"manage_streams": "perhaps"}, "manage_streams: expected bool"),
        ({"duplicate_window": "soon"}, "duplicate_window must be a duration"),
        ({"duplicate_window": float("nan")}, "duplicate_window must be at least"),
        ({"servers": ""}, "names no server"),
        ({"servers": "nats://a b"}, "no server address"),
        ({"servers": "http://a"}, "no server address"),
        ({"user": "u"}, "need each other"),
        ({"user": "u", "password": "p", "nkey_file": "f"}, "different ways to log in"),
        ({"key_file": "k"}, "NATS_CERT"),
        ({"input_stream": "A.B"}, "input_stream must be letters"),
        ({"input_stream": "ALERTS"}, "different streams"),
        ({"input_subjects": ["a..b"]}, "no NATS subject"),
        ({"input_subjects": ["a.>.b"]}, "no NATS subject"),
        ({"input_subjects": []}, "names no subject"),
        ({"inbox_prefix": "a b"}, "inbox_prefix"),
        ({"max_ack_pending": 100}, "max_ack_pending must be at least four times"),
        ({"dead_letter_max_age": 60}, "dead_letter_max_age must be 0 or at least duplicate_window"),
        ({"embedded_port": 70000}, "port number"),
        ({"idle_heartbeat": 60}, "idle_heartbeat must be at most"),
    ],
)
def test_a_wrong_setting_is_one_sentence(mapping: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(mapping, {})
    text = str(caught.value)
    assert words in text
    assert text.endswith(".")
    assert "\n" not in text


def test_no_secret_is_shown() -> None:
    settings = Settings(servers=("nats://me:hidden1@host:4222",), user="me", password="hidden2")
    assert "hidden" not in repr(settings)
    assert "hidden" not in str(list(settings.__rich_repr__()))
    assert "host:4222" in repr(settings)
    with pytest.raises(SettingsError) as caught:
        load_settings({"servers": "nats://me:hidden@ho st"}, {})
    assert "hidden" not in str(caught.value)


def test_a_url_without_its_login() -> None:
    assert without_login("nats://u:p@h:1") == "nats://h:1"
    assert without_login("token@h") == "h"
    assert without_login("h:4222") == "h:4222"
