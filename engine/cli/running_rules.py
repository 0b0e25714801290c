"""The rules of ``thenwire run``: files or a bucket, and what watches them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine import packs
from engine.cli.common import UsageError, complain, err, load_rules, overrides, print_diagnostics
from engine.reload.bundle import bundle_of
from engine.reload.prepare import Prepared, Refused, make_matcher, prepare_loaded
from engine.service.rules.bucket import EXCEPTIONS, OFF, BucketRules, BucketText
from engine.service.rules.files import RuleFiles, TextFile, names_off
from engine.service.rules.processor import ReloadingProcessor
from engine.service.rules.watch import RuleSource, RuleWatch, TextSource
from engine.service.serve import run_loop
from engine.service.settings import Settings

BUCKET = "kv:"


def begin(
    rules: Sequence[str],
    set_: Sequence[str],
    settings: Settings,
    *,
    max_skew_ms: int,
    watch: bool,
    exceptions: str | None,
    off: str | None,
) -> tuple[ReloadingProcessor, RuleWatch]:
    """The processor, and what puts changes in force.

    Raises:
        UsageError: there are no rules.
        ServiceError: the bucket cannot be read.
    """
    exceptions_source: TextSource | None = None if exceptions is None else TextFile(exceptions)
    off_source: TextSource | None = None if off is None else TextFile(off)
    source: RuleSource | None
    prepared: Prepared | Refused
    bucket: BucketRules | None = None
    if any(path.startswith(BUCKET) for path in rules):
        bucket, prepared = _from_bucket(rules, overrides(set_), settings)
        source = bucket
        exceptions_source = exceptions_source or BucketText(bucket, EXCEPTIONS)
        off_source = off_source or BucketText(bucket, OFF)
    else:
        # Before they are read, so that a change meanwhile is seen.
        source = RuleFiles([packs.resolve(path) for path in rules], overrides(set_)) if watch else None
        ruleset = load_rules(rules, set_)
        matcher = make_matcher(ruleset)
        print_diagnostics(ruleset, [*ruleset.errors, *matcher.diagnostics], err)
        bundle = msgspec.structs.replace(bundle_of(ruleset), overrides=dict(overrides(set_)))
        prepared = Prepared(bundle, ruleset, matcher, 0)
        if not matcher.rules:
            # A state has rules of its own, with which the service goes on.
            refused = prepare_loaded(bundle, ruleset)
            assert isinstance(refused, Refused)
            prepared = refused
    processor = ReloadingProcessor(prepared, max_skew_ms, settings.ocsf)
    if exceptions is not None:
        # From the first message on; the watch says what is wrong with it.
        processor.except_(_text(exceptions))
    if off is not None:
        processor.switch(names_off(_text(off)))
    found = RuleWatch(processor, source, exceptions_source, off_source)
    if bucket is not None:
        found.report = _Status(bucket, processor, found, settings.consumer)
    return processor, found


def in_force_at(watch: RuleWatch, effective: Settings) -> None:
    """The service runs with these settings."""
    watch.settings = effective
    if isinstance(watch.report, _Status):
        watch.report.bucket.settings = effective
        watch.report()


class _Status:
    """Writes what is in force to the bucket, whenever it changes."""

    def __init__(
        self, bucket: BucketRules, processor: ReloadingProcessor, watch: RuleWatch, consumer: str
    ) -> None:
        self.bucket = bucket
        self._processor = processor
        self._watch = watch
        self._consumer = consumer
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        status = self._watch.status()
        before = self._task

        async def write() -> None:
            if before is not None:
                await asyncio.wait([before])
            await self.bucket.write_status(self._consumer, status)

        self._task = asyncio.get_running_loop().create_task(write())


def _from_bucket(
    rules: Sequence[str], params: Mapping[str, Any], settings: Settings
) -> tuple[BucketRules, Prepared | Refused]:
    if len(rules) != 1:
        raise UsageError("rules come from files or from one bucket, not from both")
    name = rules[0].removeprefix(BUCKET)
    if settings.embedded:
        raise UsageError(
            "rules from a bucket need a server that runs already; --embedded starts an empty one"
        )
    if not name or not all(c.isascii() and (c.isalnum() or c in "_-") for c in name):
        raise UsageError(f"a bucket's name is letters, digits, - and _, not `{name[:60]}`")
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    bucket = BucketRules(name, base / "thenwire" / "rules" / name, params)
    bucket.settings = settings

    async def first() -> Prepared | Refused:
        return await bucket.first()

    found = run_loop(first())
    if isinstance(found, Refused):
        for problem in found.problems:
            complain(problem)
    return bucket, found


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"`{path}` is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {(error.strerror or 'not readable').lower()}") from None
