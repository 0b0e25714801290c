"""The reference pages and the tables in the code say the same."""

import re
from pathlib import Path

import pytest

from engine.sources import (
    EVENTS,
    REASONS,
    SOURCES,
    app_privacy,
    eve,
    exit_class,
    fluent_bit,
    ips,
    mdm,
    mobile_installation,
    mtd,
    mvt,
    netusage,
    powerlog,
    tcc,
    tombstone,
    wireshark,
    zeek_conn,
    zeek_dns,
    zeek_ssl,
)

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
PAGE = (REFERENCE / "sources.md").read_text("utf-8")
PAGES = {path.stem: path.read_text("utf-8") for path in (REFERENCE / "sources").glob("*.md")}
PROSE = {
    "all",
    "of",
    "the",
    "above",
    "with",
    "a",
    "dot",
    "CrashReporter",
    "Key",
    "Date",
    "Time",
    "type",
    "event",
}


def words(text: str) -> set[str]:
    """The words that stand as code, examples aside."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return set(re.findall(r"[\w.]+", " ".join(re.findall(r"`([^`]+)`", text))))


TABLES = [
    ("zeek", zeek_conn.MAPPING),
    ("zeek", zeek_dns.MAPPING),
    ("zeek", zeek_ssl.MAPPING),
    ("suricata-eve", eve.FLOW_MAPPING),
    ("suricata-eve", eve.DNS_MAPPING),
    ("suricata-eve", eve.TLS_MAPPING),
    ("suricata-eve", eve.ANOMALY_MAPPING),
    ("suricata-eve", eve.ALERT_MAPPING),
    ("wireshark", wireshark.MAPPING),
    ("ios-app-privacy", app_privacy.ACCESS_MAPPING),
    ("ios-app-privacy", app_privacy.NETWORK_MAPPING),
    ("ios-ips", ips.MAPPING),
    ("ios-powerlog", powerlog.USAGE_MAPPING),
    ("ios-powerlog", powerlog.STATE_MAPPING),
    ("ios-netusage", netusage.PROCESS_MAPPING),
    ("ios-netusage", netusage.USAGE_MAPPING),
    ("ios-tcc", tcc.MAPPING),
    ("mvt-timeline", mvt.MAPPING),
    ("mvt-timeline", mvt.USAGE_MAPPING),
    ("mdm", mdm.MAPPING),
    ("mtd", mtd.MAPPING),
]


@pytest.mark.parametrize(("page", "table"), TABLES)
def test_every_mapped_field_is_on_its_page(page: str, table: dict[str, str]) -> None:
    names = {name for entry in table.items() for text in entry for name in re.findall(r"[\w.]+", text)}
    assert names - PROSE - words(PAGES[page]) - {"accessor.identifier"} == set()


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("android-tombstone", tombstone.MAPPING),
        ("ios-mobile-installation", mobile_installation.MAPPING),
        ("fluent-bit", fluent_bit.MAPPING),
    ],
)
def test_every_canonical_field_of_a_text_is_on_its_page(page: str, table: dict[str, str]) -> None:
    assert set(table.values()) - {"all of the event"} <= words(PAGES[page])


def test_every_source_reason_and_class_is_on_the_pages() -> None:
    assert set(SOURCES) <= words(PAGE)
    assert words(PAGES["ios-ips"]) >= exit_class.CLASSES
    assert set(tombstone.CLASSES.values()) <= words(PAGES["android-tombstone"])
    listed = re.findall(r"^\| `(\w+)` \| ", PAGE.split("### Reasons")[1].split("## `ndjson`")[0], re.M)
    assert set(listed) == REASONS


def test_every_source_has_a_page_that_the_overview_links() -> None:
    linked = set(re.findall(r"\(sources/([\w-]+)\.md\)", PAGE))
    assert linked == set(PAGES)
    named = {name for text in PAGES.values() for name in re.findall(r"[Ss]ource `([\w.]+)`", text)}
    assert named | {"ndjson"} == set(SOURCES)


def test_the_overview_says_which_kinds_each_source_gives() -> None:
    rows = dict(re.findall(r"^\| \[`([\w.]+)`\]\S* \| [^|]* \| ([^|]*) \|", PAGE, re.M))
    for name, kinds in EVENTS.items():
        assert kinds <= words(rows["zeek" if name.startswith("zeek.") else name]), name


def test_every_status_item_is_on_the_page() -> None:
    items = {*mdm.ITEMS, *mdm.ITEMS.values(), *mdm.POSTURE, *mdm.APPS, mdm.CHECK_IN}
    assert {item for item in items if f"`{item}`" not in PAGES["mdm"]} == set()


def test_every_kill_code_is_on_the_page() -> None:
    ranges = {0x2182BAD3, 0xC51BAD02}
    assert {hex(code) for code in exit_class.KILL_CODES.keys() - ranges} <= words(PAGES["ios-ips"])
