"""What the first bytes of a file say of who takes it, for commands that are given files. No plugin's code runs."""

from collections.abc import Container
from pathlib import Path

from hostd.config import FileSource
from hostd.pipeline.detection import Ranking
from hostd.pipeline.routing import Route, configured, decide
from hostd.pipeline.sources.content import NotLoadedError
from hostd.pipeline.sources.opening import open_source


async def look_into(file: str, base: Path, settings: FileSource | None) -> tuple[str, bytes]:
    """Return the name that globs are compared with, and the first bytes of what is in the file. Raises OSError."""
    path = Path(file).absolute()
    if not path.is_file() and path.exists():
        raise OSError("it is no regular file; name one")
    source = open_source(str(path), base, settings, None, None)
    try:
        if await source.prepare(final=True) is not None and source.trouble:
            raise OSError(source.trouble)
        while True:
            try:
                return source.routed_as, source.head()
            except NotLoadedError as missing:
                await source.load(missing)
    finally:
        source.close()


def route_of(ranking: Ranking, head: bytes, settings: FileSource | None, known: Container[str]) -> Route:
    """Return who takes a file, by its settings or else by its ranking."""
    if settings is not None and settings.processor is not None:
        return configured(settings.processor, known)
    return decide(ranking) if head else Route(None, "it is empty; what takes it is decided by its first bytes")
