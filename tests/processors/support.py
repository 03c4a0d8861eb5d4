"""The processors that ship, loaded as a worker loads them, and ways to run them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from contract import LineStream
from contract.manifest import Manifest
from contract.testing import Outcome, load, make_processor, make_stream_processor, run, run_stream
from hostd.pipeline.routing import route
from hostd.pipeline.sources.unpacked import HEAD_BYTES

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "examples" / "logs"
SHIPPED = sorted((ROOT / "plugins.d").glob("*.py"))
EXAMPLES = sorted(path for suffix in ("py", "toml") for path in (ROOT / "examples" / "plugins").glob(f"*.{suffix}"))
MISBEHAVING = sorted((ROOT / "examples" / "plugins" / "misbehaving").glob("*.py"))

MODULES: dict[str, tuple[Manifest, ModuleType]] = {path.stem: load(path) for path in (*SHIPPED, *EXAMPLES)}
SHIPPED_MANIFESTS = [MODULES[path.stem][0] for path in SHIPPED]


def parse(name: str, data: bytes, *, cuts: tuple[int, ...] = (), reopen: bool = True, **circumstances: Any) -> Outcome:
    """Parse `data` with a processor; circumstances are those of `run`, or `options` as a mapping."""
    manifest, module = MODULES[name]
    given = circumstances.get("options")
    if hasattr(module, "Options") and (given is None or isinstance(given, dict)):
        circumstances["options"] = module.Options(**(given or {}))
    if manifest.framing.kind == "stream":
        circumstances = {key: value for key, value in circumstances.items() if key not in {"header", "offset"}}
        processor = make_stream_processor(module.new_processor)
        most_bytes = manifest.limits.snapshot_kib << 10
        return run_stream(processor, data, cuts=cuts, reopen=reopen, most_bytes=most_bytes, **circumstances)
    circumstances.setdefault("framing", manifest.compiled_framing())
    return run(make_processor(manifest, module.new_processor), data, **circumstances)


@contextmanager
def plainly(name: str) -> Iterator[None]:
    """Have a processor parse every record by itself, without what makes it faster where all are ordinary."""
    module = MODULES[name][1]
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, LineStream)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("contract.together.Together.take", _never)
        for fast in ("_at_once", "_shape"):
            if hasattr(module, fast):
                patch.setattr(module, fast, _never)
        for kind in classes:
            patch.setattr(kind, "at_once", LineStream.at_once, raising=False)
        if name == "access":
            patch.setattr(module.AccessProcessor, "_at_once", _never)
        yield


def _never(*_: object) -> None:
    return None


def parse_source(name: str, data: bytes, **circumstances: Any) -> Outcome:
    """Parse a whole source: its header apart, as the daemon does."""
    end = MODULES[name][0].compiled_framing().header_end(data, final=True) or 0
    return parse(name, data[end:], header=data[:end], offset=end, **circumstances)


def records(name: str, *lines: str, **circumstances: Any) -> list[dict[str, Any]]:
    """Parse lines that must all be taken."""
    outcome = parse_source(name, "".join(f"{line}\n" for line in lines).encode(), **circumstances)
    assert outcome.rejected == []
    return outcome.records


def record(name: str, *lines: str, **circumstances: Any) -> dict[str, Any]:
    """Parse the lines of one record."""
    (only,) = records(name, *lines, **circumstances)
    return only


def taker(source: str, head: bytes, manifests: list[Manifest] = SHIPPED_MANIFESTS) -> str | None:
    """Return the processor that gets a source, None when it waits; two that tie are an error."""
    found = route(source, head[:HEAD_BYTES], None, None, {each.name: each for each in manifests})
    assert "accept it equally" not in found.why, f"{source}: {found.why}"
    return found.plugin
