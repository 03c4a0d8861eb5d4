"""Run a processor without a daemon, exactly as a worker would, and check that it keeps the contract's rules.

from contract.testing import conformance, load

def test_conformance() -> None:
    conformance("my_format.py")
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from contract.adapter import MisfitError, as_processor
from contract.context import Context
from contract.manifest import Manifest, read_script
from contract.processor import Processor
from contract.record import JsonValue
from contract.values import as_json_value
from contract.version import mismatch, negotiate


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an input: records as JSON values, and what was rejected as (bytes, reason)."""

    records: list[dict[str, JsonValue]]
    rejected: list[tuple[bytes, str]] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)


def run(
    processor: Processor,
    data: bytes,
    *,
    source: str = "sample",
    header: bytes = b"",
    offset: int = 0,
    options: Any = None,
) -> Outcome:
    """Parse `data` with `processor` and return what comes of it.

    Raises whatever `parse` raises, and TypeError or ValueError for a record that JSON cannot hold.
    """
    rejected: list[tuple[bytes, str]] = []
    said: list[tuple[str, str]] = []
    ctx = Context(
        source=source,
        header=header,
        offset=offset,
        options=options,
        reject=lambda raw, reason: rejected.append((raw, reason)),
        say=lambda level, message: said.append((level, message)),
    )
    return Outcome(as_json(processor.parse(data, ctx)), rejected, said)


def as_json(records: Iterable[Any]) -> list[dict[str, JsonValue]]:
    """Return records as the JSON values that they are stored as."""
    values: list[dict[str, JsonValue]] = []
    for record in records:
        mapping = {"message": record} if isinstance(record, str) else record
        values.append(as_json_value(dict(mapping)))
    return values


def load(path: str | Path) -> tuple[Manifest, ModuleType]:
    """Read the manifest of a `.py` plugin and import it, for a test of your own.

    Raises ManifestError, or whatever the import raises.
    """
    path = Path(path)
    manifest, _ = read_script(path.read_text(encoding="utf-8"))
    module = ModuleType(f"hostd_plugin_under_test_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    # From its source and never from a cache beside it, which may be of what the file held a moment ago.
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102
    return manifest, module


def make_processor(manifest: Manifest, new_processor: Callable[[], Any]) -> Processor:
    """Return the processor that a worker would make of a factory, through the adapter of the plugin's contract.

    Raises AssertionError when there is none: for a contract that is not spoken here, for what is no processor of it.
    """
    version = negotiate(manifest.contract)
    assert version is not None, "; ".join(mismatch(manifest.contract))
    try:
        return as_processor(new_processor(), version, manifest.name)
    except MisfitError as error:
        raise AssertionError(f"new_processor() {error}") from error


def conformance(path: str | Path, options: Any = None) -> None:
    """Check that a `.py` plugin keeps the contract's rules, with the samples of its manifest.

    Raises AssertionError that says which rule and how: the samples yield their records; a second run and a
    second processor yield the same (`parse` keeps no state); cutting the input between two records changes
    nothing; nothing is lost without a word; hostile input neither hangs nor ends the process.
    """
    manifest, module = load(path)
    if options is None and hasattr(module, "Options"):
        options = module.Options()
    conformance_of(manifest, module.new_processor, options)


def conformance_of(manifest: Manifest, new_processor: Callable[[], Any], options: Any = None) -> None:
    """Check a factory against a manifest, as `conformance` does for a file."""
    assert manifest.samples, "the manifest carries no samples; add one input with the records you expect"
    framing = manifest.compiled_framing()
    for number, sample in enumerate(manifest.samples):
        where = f"sample {number}"
        header, data = sample.cut(framing)
        expected = [dict(record) for record in sample.records]
        processor = make_processor(manifest, new_processor)
        whole = run(processor, data, header=header, options=options, source=sample.name)
        assert whole.records == expected, f"{where}: expected {expected!r}, got {whole.records!r}"
        assert len(whole.rejected) == sample.rejected, f"{where}: rejected {whole.rejected!r}"
        again = run(processor, data, header=header, options=options, source=sample.name)
        assert again.records == expected, f"{where}: a second parse of the same bytes differs: it keeps state"
        pieces: list[dict[str, JsonValue]] = []
        starts = [*framing.starts(data), len(data)]
        for start, end in pairwise(starts):
            part = run(
                make_processor(manifest, new_processor), data[start:end], header=header, options=options, offset=start
            )
            pieces.extend(part.records)
        assert pieces == expected, (
            f"{where}: record by record it yields {pieces!r} instead: records depend on each other"
        )
    for hostile in (b"\n", b"\x00\xff\xfe\n", b"{" * 1000 + b"\n", b'"\n', b"\xe2\x82\n"):
        try:
            run(make_processor(manifest, new_processor), hostile, options=options)
        except Exception:  # noqa: BLE001, S112 - an exception is a fair answer to hostile input; it becomes a dead letter
            continue
