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

from contract.adapter import MisfitError, as_processor, as_stream, as_stream_processor, snapshot_of
from contract.columns import as_records, is_columns
from contract.context import Context
from contract.framing import Framing
from contract.json_lines import JsonLines
from contract.manifest import Manifest, read_script
from contract.processor import Processor, StreamProcessor
from contract.record import JsonValue
from contract.rows import Rows
from contract.values import as_json_value
from contract.version import mismatch, negotiate

_HOSTILE = (b"\n", b"\x00\xff\xfe\n", b"{" * 1000 + b"\n", b'"\n', b"\xe2\x82\n")
_MAX_CUTS = 512


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
    framing: Framing | None = None,
) -> Outcome:
    """Parse `data` with `processor` and return what comes of it.

    `framing` is what `ctx.split` cuts by, lines if there is none; a manifest's is `manifest.compiled_framing()`. Raises
    whatever `parse` raises, and TypeError or ValueError for a record that JSON cannot hold.
    """
    rejected: list[tuple[bytes, str]] = []
    said: list[tuple[str, str]] = []
    ctx = Context(
        source=source,
        header=header,
        offset=offset,
        options=options,
        framing=framing,
        reject=lambda raw, reason: rejected.append((raw, reason)),
        say=lambda level, message: said.append((level, message)),
    )
    return Outcome(as_json(processor.parse(data, ctx)), rejected, said)


def run_stream(
    processor: StreamProcessor,
    data: bytes,
    *,
    cuts: Iterable[int] = (),
    reopen: bool = True,
    source: str = "sample",
    options: Any = None,
    most_bytes: int = 1 << 20,
) -> Outcome:
    """Feed `data` to a stream in pieces, cut at `cuts`, the last one as final, and return what comes of it.

    With `reopen` a new stream goes on at each cut, from the snapshot of the one before, as after a crash. Raises
    whatever the stream raises, and MisfitError, a TypeError, for a snapshot that is not bytes or is over `most_bytes`.
    """
    rejected: list[tuple[bytes, str]] = []
    said: list[tuple[str, str]] = []
    records: list[dict[str, JsonValue]] = []

    def context(offset: int) -> Context:
        return Context(
            source=source,
            offset=offset,
            options=options,
            reject=lambda raw, reason: rejected.append((raw, reason)),
            say=lambda level, message: said.append((level, message)),
        )

    ctx = context(0)
    stream = as_stream(processor.open(ctx, None))
    for start, end in pairwise([0, *sorted(set(cuts)), len(data)]):
        if start and reopen:
            ctx = context(start)
            stream = as_stream(processor.open(ctx, snapshot_of(stream, most_bytes)))
        ctx.offset = start
        records += as_json(stream.feed(data[start:end], end == len(data)))
        snapshot_of(stream, most_bytes)
    return Outcome(records, rejected, said)


def as_json(records: Iterable[Any]) -> list[dict[str, JsonValue]]:
    """Return records as the JSON values that they are stored as."""
    values: list[dict[str, JsonValue]] = []
    found: Any = [records] if is_columns(records) else records
    for record in found:
        if is_columns(record):
            values += [as_json_value(each) for each in as_records(record)]
            continue
        if isinstance(record, Rows | JsonLines):
            values += as_json(record)
            continue
        mapping = {"message": record} if isinstance(record, str) else record
        values.append(as_json_value(dict(mapping)))
    return values


def load(path: str | Path) -> tuple[Manifest, ModuleType]:
    """Read the manifest of a `.py` or `.toml` plugin and import it, for a test of your own.

    Raises ManifestError, or whatever the import raises.
    """
    path = Path(path)
    if path.suffix == ".toml":
        from contract.declared.processor import as_module
        from contract.declared.table import read_declaration

        declaration = read_declaration(path.read_text(encoding="utf-8"), name=path.stem)
        return declaration, as_module(path.read_bytes(), f"hostd_plugin_under_test_{path.stem}")
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


def make_stream_processor(new_processor: Callable[[], Any]) -> StreamProcessor:
    """Return the stream processor that a worker would make of a factory. Raises AssertionError when it makes none."""
    try:
        return as_stream_processor(new_processor())
    except MisfitError as error:
        raise AssertionError(f"new_processor() {error}") from error


def conformance(path: str | Path, options: Any = None) -> None:
    """Check that a `.py` or `.toml` plugin keeps the contract's rules, with the samples of its manifest.

    Raises AssertionError that says which rule and how: the samples yield their records; a second run and a
    second processor yield the same (`parse` keeps no state); cutting the input between two records changes
    nothing; nothing is lost without a word; hostile input neither hangs nor ends the process. Of a plugin
    with stream framing: cutting the input at any byte changes nothing, whether the stream lives on over the cut or
    another is opened with its snapshot.
    """
    manifest, module = load(path)
    if options is None and hasattr(module, "Options"):
        options = module.Options()
    conformance_of(manifest, module.new_processor, options)


def conformance_of(manifest: Manifest, new_processor: Callable[[], Any], options: Any = None) -> None:
    """Check a factory against a manifest, as `conformance` does for a file."""
    assert manifest.samples, "the manifest carries no samples; add one input with the records you expect"
    framing = manifest.compiled_framing()
    if framing.kind == "stream":
        _stream_conformance(manifest, new_processor, options)
        return
    for number, sample in enumerate(manifest.samples):
        where = f"sample {number}"
        header, data = sample.cut(framing)
        expected = [dict(record) for record in sample.records]
        processor = make_processor(manifest, new_processor)
        shape: dict[str, Any] = {"header": header, "options": options, "framing": framing}
        whole = run(processor, data, source=sample.name, **shape)
        assert whole.records == expected, f"{where}: expected {expected!r}, got {whole.records!r}"
        assert len(whole.rejected) == sample.rejected, f"{where}: rejected {whole.rejected!r}"
        again = run(processor, data, source=sample.name, **shape)
        assert again.records == expected, f"{where}: a second parse of the same bytes differs: it keeps state"
        pieces: list[dict[str, JsonValue]] = []
        starts = [*framing.starts(data), len(data)]
        for start, end in pairwise(starts):
            part = run(make_processor(manifest, new_processor), data[start:end], offset=start, **shape)
            pieces.extend(part.records)
        assert pieces == expected, (
            f"{where}: record by record it yields {pieces!r} instead: records depend on each other"
        )
    for hostile in _HOSTILE:
        try:
            run(make_processor(manifest, new_processor), hostile, options=options, framing=framing)
        except Exception:  # noqa: BLE001, S112 - an exception is a fair answer to hostile input; it becomes a dead letter
            continue


def _stream_conformance(manifest: Manifest, new_processor: Callable[[], Any], options: Any) -> None:
    most_bytes = manifest.limits.snapshot_kib << 10
    processor = make_stream_processor(new_processor)
    for number, sample in enumerate(manifest.samples):
        data, name, where = sample.content(), sample.name, f"sample {number}"

        def found(
            cuts: Iterable[int] = (), *, reopen: bool = True, data: bytes = data, source: str = name
        ) -> tuple[list[dict[str, JsonValue]], list[tuple[bytes, str]]]:
            outcome = run_stream(
                processor, data, cuts=cuts, reopen=reopen, source=source, options=options, most_bytes=most_bytes
            )
            return outcome.records, outcome.rejected

        expected = [dict(record) for record in sample.records]
        whole = found()
        assert whole[0] == expected, f"{where}: expected {expected!r}, got {whole[0]!r}"
        assert len(whole[1]) == sample.rejected, f"{where}: rejected {whole[1]!r}"
        assert found() == whole, f"{where}: a second stream differs: state outlives the stream that it belongs to"
        every = range(1, len(data))
        for cut in every[:: max(1, len(every) // _MAX_CUTS)]:
            lives_on = found([cut], reopen=False)
            assert lives_on == whole, f"{where}: cut at byte {cut} it yields {lives_on!r} instead of {whole!r}"
            opened = found([cut])
            assert opened == whole, (
                f"{where}: opened at byte {cut} with the snapshot it yields {opened!r} instead of {whole!r}:"
                " the snapshot does not hold all that the stream keeps"
            )
        bytewise = found(every[-_MAX_CUTS:])
        assert bytewise == whole, f"{where}: opened anew at each byte it yields {bytewise!r} instead of {whole!r}"
    for hostile in _HOSTILE:
        try:
            run_stream(make_stream_processor(new_processor), hostile, cuts=[1], options=options, most_bytes=most_bytes)
        except MisfitError as error:
            raise AssertionError(f"hostile input: {error}") from error
        except Exception:  # noqa: BLE001, S112 - an exception is a fair answer to hostile input; it becomes a dead letter
            continue
