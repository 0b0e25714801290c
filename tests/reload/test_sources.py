"""Rule files that are watched, and names that come from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.reload.prepare import Prepared, Refused, prepare
from engine.service.errors import ServiceError
from engine.service.rules import files as rule_files_module
from engine.service.rules.bucket import check_manifest, safe_name
from engine.service.rules.collect import collect
from engine.service.rules.files import RuleFiles, TextFile, names_off

ONE = "EVENT a { x: int }\nRULE r { WHEN a }\n"
TWO = "EVENT a { x: int }\nRULE r { WHEN a [x > 1] }\n"


def write(path: Path, text: str) -> None:
    """Into its place at once, as an editor or a deployment should."""
    half = path.with_suffix(".half")
    half.write_text(text)
    half.rename(path)


def test_a_set_is_taken_when_it_stands_still(tmp_path: Path) -> None:
    write(tmp_path / "x.rule", ONE)
    source = RuleFiles([tmp_path], {})
    assert source.look() is None
    write(tmp_path / "x.rule", TWO)
    assert source.look() is None
    write(tmp_path / "y.rule", "EVENT b { x: int }\n")
    assert source.look() is None
    found = source.look()
    assert isinstance(found, Prepared)
    assert len(found.bundle.texts) == 2
    assert source.look() is None


def test_who_asks_need_not_wait(tmp_path: Path) -> None:
    write(tmp_path / "x.rule", ONE)
    source = RuleFiles([tmp_path], {})
    assert source.look(now=True) is None
    write(tmp_path / "x.rule", TWO)
    assert isinstance(source.look(now=True), Prepared)


def test_a_set_that_changes_while_it_is_read_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "x.rule", ONE)
    source = RuleFiles([tmp_path], {})
    write(tmp_path / "x.rule", TWO)
    assert source.look() is None

    def slow(*given: object) -> Prepared | Refused:
        found = prepare([tmp_path], {})
        write(tmp_path / "x.rule", ONE)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(rule_files_module, "prepare", slow)
        assert source.look() is None
    assert source.look() is None
    found = source.look()
    assert isinstance(found, Prepared)
    assert list(found.bundle.texts.values()) == [ONE]


def test_a_refused_set_is_refused_once(tmp_path: Path) -> None:
    write(tmp_path / "x.rule", ONE)
    source = RuleFiles([tmp_path], {})
    write(tmp_path / "x.rule", ONE.replace("WHEN a", "WHEN z"))
    assert [source.look(), type(source.look()), source.look()] == [None, Refused, None]


def test_a_folder_that_is_gone_for_a_while_is_no_new_set(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    write(folder / "x.rule", ONE)
    source = RuleFiles([folder], {})
    os.rename(folder, tmp_path / "away")
    found = [source.look(), source.look()]
    assert found[0] is None
    assert isinstance(found[1], Refused)
    assert found[1].sentence == f"there is no rule file or folder `{folder}`"
    assert source.look() is None
    os.rename(tmp_path / "away", folder)
    assert source.look() is None
    assert isinstance(source.look(), Prepared)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.rule", ONE)
    source = RuleFiles([tmp_path], {})
    (tmp_path / "x.rule").unlink()
    source.look()
    found = source.look()
    assert isinstance(found, Refused)
    assert found.sentence == "there are no .rule files"


def test_a_text_is_given_when_it_is_new_and_its_absence_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "off.txt"
    file = TextFile(path)
    assert file.look() == (None, "no such file or directory")
    assert file.look() == (None, None)
    path.write_text("chain # it floods\n\n# no\nother rule\n")
    text, problem = file.look()
    assert problem is None
    assert names_off(text or "") == ["chain", "other_rule"]
    assert file.look() == (None, None)
    path.write_bytes(b"\xff\xfe\xff")
    assert file.look() == (None, "not UTF-8 text")


@pytest.mark.parametrize("name", ["x.rule", "mobile/lists/a-b_c.txt", "0"])
def test_names_that_stay_in_their_folder(name: str) -> None:
    assert safe_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/x",
        "../x",
        "a/../x",
        "a//x",
        "a/",
        ".x",
        "a/.x",
        "a\\x",
        "C:x",
        "x\n",
        "x\0",
        "é",
        "a" * 101,
        "x y",
    ],
)
def test_names_that_do_not(name: str) -> None:
    assert not safe_name(name)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the manifest is none"),
        (b"[" * 100_000, "the manifest is none"),
        (b'{"files": [], "format": 2}', "the manifest has format 2, and this thenwire reads format 1"),
        (b'{"files": [{"name": "a", "sha256": "x", "size": 1}]}', "in a way that is not allowed: 'a'"),
        (
            b'{"files": [{"name": "a", "sha256": "%s", "size": 99999999}]}' % (b"0" * 64),
            "more than 1,000 files or 64 MiB",
        ),
    ],
)
def test_manifests_that_are_refused(raw: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        check_manifest(raw)


def test_what_is_pushed_holds_the_lists(tmp_path: Path) -> None:
    (tmp_path / "rules" / "lists").mkdir(parents=True)
    (tmp_path / "rules" / "lists" / "l.txt").write_text("one\n")
    rule = 'EVENT a { x: string }\nLIST l FROM "lists/l.txt"\nRULE r { WHEN a [x IN LIST l] }\n'
    write(tmp_path / "rules" / "x.rule", rule)
    found = prepare([tmp_path / "rules"], {})
    assert isinstance(found, Prepared)
    assert collect([tmp_path / "rules"], found) == {"x.rule": rule.encode(), "lists/l.txt": b"one\n"}
    write(tmp_path / "rules" / "x.rule", rule.replace("lists/l.txt", "../l.txt"))
    (tmp_path / "l.txt").write_text("one\n")
    found = prepare([tmp_path / "rules"], {})
    assert isinstance(found, Prepared)
    with pytest.raises(ServiceError, match=r"lies outside of .*: put it below the rules"):
        collect([tmp_path / "rules"], found)
