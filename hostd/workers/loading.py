"""A generation's bytes to a processor, inside a worker: import, options, factory.

The bytes that were hashed are the bytes that run: the source is read once, its digest compared, and compiled
under the name that the author knows it by; no cache is read or written.
"""

import importlib
import importlib.machinery
import importlib.util
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from contract.adapter import MisfitError, as_processor, as_stream_processor
from contract.processor import Processor, StreamProcessor
from contract.together import describe
from hostd.workers import wire
from hostd.workers.digest import sha256_hex

T = TypeVar("T")


class BrokenPluginError(Exception):
    """A generation that cannot serve: where, what, and what its author should do."""

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        self.where = where
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{where}: {problem}; {remedy}")


class _ArtifactLoader(importlib.machinery.SourceFileLoader):
    """Loads one module from bytes in memory, under the path that its author knows."""

    def __init__(self, name: str, source: bytes, display: str) -> None:
        super().__init__(name, display)
        self._source = source

    def get_data(self, path: Any) -> bytes:
        if path == self.path:
            return self._source
        raise OSError(f"{path!r} is not part of this artifact")

    def path_stats(self, path: Any) -> Any:
        raise OSError(f"{path!r} is no file")  # so there is no .pyc of it either


def import_artifact(load: wire.Load) -> ModuleType:
    """Import the generation's module under a name of its own. Raises BrokenPluginError."""
    try:
        if load.kind == "py":
            return import_source(_read_copy(load), load.module, load.display)
        if load.kind == "toml":
            from contract.declared.processor import as_module  # few workers need it

            return as_module(_read_copy(load), load.module)
        sys.path.insert(0, load.path)
        module = importlib.import_module(load.module)
    except SyntaxError as error:
        where = f"{_shown(error.filename, load)}:{error.lineno}"
        raise BrokenPluginError(where, f"SyntaxError: {error.msg}", f"mend line {error.lineno}") from error
    except BrokenPluginError:
        raise
    except BaseException as error:
        where, text = blame(error, load)
        raise BrokenPluginError(where, f"importing it raises {text}", "mend that line") from error
    if not str(getattr(module, "__file__", "")).startswith(load.path):
        raise BrokenPluginError(
            load.display,
            f"its package {load.module!r} has the name of one that is already loaded",
            "rename the package",
        )
    return module


def _read_copy(load: wire.Load) -> bytes:
    content = Path(load.path).read_bytes()
    if sha256_hex(content) != load.digest:
        raise BrokenPluginError(load.display, "its private copy was changed", "drop the file in again")
    return content


def import_source(source: bytes, name: str, display: str) -> ModuleType:
    """Run a module's source under a name of its own; tracebacks call it `display`. Raises what it raises."""
    loader = _ArtifactLoader(name, source, display)
    spec = importlib.machinery.ModuleSpec(name, loader, origin=display)
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # What the loader's exec_module does once it has looked for a cache in vain.
    exec(loader.source_to_code(source, display), module.__dict__)  # noqa: S102 - running it is what a worker is for
    return module


def make_options(module: ModuleType, load: wire.Load) -> Any:
    """Validate the operator's options by the module's `Options`, if it has one. Raises BrokenPluginError."""
    model = getattr(module, "Options", None)
    table = f"[plugins.options.{load.name}]"
    if model is None:
        if load.options:
            raise BrokenPluginError(table, f"plugin {load.name!r} takes no options", f"remove {table} from hostd.toml")
        return None
    if not callable(getattr(model, "model_validate", None)):
        found = str(getattr(sys.modules.get("pydantic"), "VERSION", ""))
        has = f", and its environment has pydantic {found}" if found and not found.startswith("2.") else ""
        raise BrokenPluginError(
            load.display,
            f"Options is no model of pydantic 2{has}",
            "define Options as a pydantic.BaseModel, and depend on pydantic>=2",
        )
    try:
        return model.model_validate(load.options or {})
    except Exception as error:
        problems = getattr(error, "errors", None)
        if not callable(problems):
            where, text = blame(error, load)
            raise BrokenPluginError(
                where, f"Options raises {text}", "define Options as a pydantic.BaseModel"
            ) from error
        first = problems(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BrokenPluginError(
            f"{table} {field}",
            f"{first['msg']} (got {first.get('input')!r:.100})",
            "correct it in hostd.toml",
        ) from error


def make_default_options(module: ModuleType, options: Any) -> Any:
    """Return `Options` as it is without settings, or `options` where it has no defaults for all its fields."""
    if options is None:
        return None
    try:
        return module.Options()
    except Exception:  # noqa: BLE001 - a field without a default; the samples then need the operator's
        return options


def make_processor(module: ModuleType, load: wire.Load) -> Processor:
    """Call the module's factory, and adapt what it made to today's contract. Raises BrokenPluginError."""
    return _make(module, load, lambda made: as_processor(made, load.contract, load.name))


def make_stream_processor(module: ModuleType, load: wire.Load) -> StreamProcessor:
    """Call the factory of a module with stream framing. Raises BrokenPluginError."""
    return _make(module, load, as_stream_processor)


def _make(module: ModuleType, load: wire.Load, adapt: Callable[[Any], T]) -> T:
    factory: Any = module
    for part in load.attribute.split("."):
        factory = getattr(factory, part, None)
    if not callable(factory):
        raise BrokenPluginError(
            load.display,
            f"has no function {load.attribute}()",
            f"define one that returns the processor: def {load.attribute}(): …",
        )
    try:
        return adapt(factory())
    except MisfitError as error:
        raise BrokenPluginError(load.display, f"{load.attribute}() {error.problem}", error.remedy) from error
    except BaseException as error:
        where, text = blame(error, load)
        raise BrokenPluginError(where, f"{load.attribute}() raises {text}", "mend that line") from error


def blame(error: BaseException, load: wire.Load) -> tuple[str, str]:
    """Return the plugin's own innermost line in `error`'s traceback, as `file:line`, and the error as text."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == load.display or (load.kind == "wheel" and frame.filename.startswith(load.path))
    ]
    where = f"{_shown(own[-1].filename, load)}:{own[-1].lineno}" if own else load.display
    return where, describe(error)[:1000]


def _shown(filename: str | None, load: wire.Load) -> str:
    """Return a file name as its author knows it: inside a wheel, the wheel and the path in it."""
    if filename is None or not filename.startswith(load.path):
        return filename or load.display
    return f"{load.display}{filename.removeprefix(load.path)}"


def short(value: Any) -> str:
    """Return a value as JSON of at most 300 characters, for a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"
