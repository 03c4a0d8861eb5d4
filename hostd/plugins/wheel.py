"""A wheel's metadata, entry point and files, read and unpacked with limits (PyPA binary distribution format).

A wheel is foreign input: every name, size and hash is checked before a byte of it is written.
"""

import base64
import configparser
import csv
import functools
import hashlib
import io
import lzma
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from pathlib import PurePosixPath

from msgspec import Struct
from packaging.metadata import parse_email
from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from contract.manifest import Manifest, ManifestError, read_plugin_toml
from hostd.errors import Refusal, Stage

MAX_FILES = 10_000
MAX_UNPACKED_BYTES = 512 << 20
MAX_RATIO = 200
GROUP = "hostd.processors"

_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    csv.Error,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)
"""What the modules that read an archive raise for bytes that are not one."""


class Contents(Struct, frozen=True):
    """What a wheel says of itself."""

    manifest: Manifest
    module: str
    attribute: str
    requires_python: str | None
    dependencies: tuple[str, ...]


def read(filename: str, display: str, content: bytes) -> Contents:
    """Check a wheel and read its metadata. Raises Refusal."""
    try:
        _, _, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise _refusal(
            display, f"is not named like a wheel: {error}", "keep the name that the build gave it"
        ) from error
    if tags.isdisjoint(_supported_tags()):
        found = ", ".join(sorted(map(str, tags)))
        raise _refusal(display, f"is built for {found}", f"build it for this machine, for example {next(sys_tags())}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = _check_names(archive, display, len(content))
            _check_record(archive, names, display)
            return _read_metadata(archive, names, display)
    except _DAMAGE as error:
        raise _refusal(display, f"is not a whole zip archive: {error}", "build and copy it again") from error


@functools.cache
def _supported_tags() -> frozenset[Tag]:
    return frozenset(sys_tags())


def unpack(content: bytes, folder: str) -> None:
    """Write the files of a wheel that `read` has accepted to `folder`, whole or not at all."""
    temporary = tempfile.mkdtemp(dir=os.path.dirname(folder))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                # A cache in the archive would run instead of the source beside it.
                if info.is_dir() or "__pycache__" in PurePosixPath(info.filename).parts:
                    continue
                target = os.path.join(temporary, info.filename)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with archive.open(info) as source, open(target, "xb") as file:
                    shutil.copyfileobj(source, file)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _refusal(display: str, problem: str, remedy: str) -> Refusal:
    return Refusal(Stage.CHECKED, display, problem, remedy)


def _check_names(archive: zipfile.ZipFile, display: str, size: int) -> set[str]:
    infos = archive.infolist()
    if len(infos) > MAX_FILES:
        raise _refusal(display, f"holds {len(infos)} files, more than {MAX_FILES}", "make it smaller")
    total = sum(info.file_size for info in infos)
    # Of the archive, not of what its entries claim: they may share their bytes.
    if total > MAX_UNPACKED_BYTES or total > MAX_RATIO * max(size, 1 << 16):
        raise _refusal(
            display,
            f"unpacks from {size} to {total} bytes, more than {MAX_UNPACKED_BYTES} or {MAX_RATIO} times as much",
            "build it without such files",
        )
    names: set[str] = set()
    for info in infos:
        name = info.filename
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or "\0" in info.orig_filename:
            raise _refusal(display, f"holds a file that would leave its folder: {name!r}", "build it again")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a link" if kind == stat.S_IFLNK else "what is no file"
            raise _refusal(display, f"holds {what}: {name!r}", "build it of files")
        if name in names:
            raise _refusal(display, f"holds {name!r} twice", "build it again")
        names.add(name)
    _check_places({name for name in names if not name.endswith("/")}, display)
    return names


def _check_places(files: set[str], display: str) -> None:
    """Refuse two files that would take one place: the same path written twice, or a file that is a folder too."""
    places = [PurePosixPath(name) for name in sorted(files)]
    taken = set(places)
    for place in places:
        if any(parent in taken for parent in place.parents):
            raise _refusal(display, f"holds {str(place)!r} in a file", "build it again")
    if len(taken) < len(places):
        raise _refusal(display, "holds one file under two names", "build it again")


def _check_record(archive: zipfile.ZipFile, names: set[str], display: str) -> None:
    """Compare the files with RECORD: the same names, each once, and each with its hash."""
    record = _metadata_file(names, "RECORD")
    if record is None:
        raise _refusal(display, "has no RECORD", "build it with a build tool")
    hashes: dict[str, str] = {}
    for row in filter(None, csv.reader(archive.read(record).decode().splitlines())):
        name, expected = row[0], row[1] if len(row) == 3 else ""
        if name in hashes:
            raise _refusal(display, f"RECORD names {name!r} twice", "build it again")
        if name not in names:
            raise _refusal(display, f"{name!r} is in RECORD and not in the archive", "build it again")
        hashes[name] = expected
    unsigned = {record, f"{record}.jws", f"{record}.p7s"}
    for name in sorted(name for name in names - unsigned if not name.endswith("/")):
        if name not in hashes:
            raise _refusal(display, f"{name!r} is not in RECORD", "build it again")
        algorithm, _, expected = hashes[name].partition("=")
        if algorithm not in ("sha256", "sha384", "sha512"):
            raise _refusal(display, f"{name!r} has no hash in RECORD", "build it again")
        with archive.open(name) as file:
            digest = hashlib.file_digest(file, algorithm).digest()  # type: ignore[arg-type]
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != expected:
            raise _refusal(display, f"{name!r} is not the file that RECORD names", "build it again")


def _metadata_file(names: set[str], suffix: str) -> str | None:
    """Return the one file of the wheel's own metadata that is called `suffix`."""
    found = [name for name in names if name.endswith(f".dist-info/{suffix}") and name.count("/") == 1]
    return found[0] if len(found) == 1 else None


def _read_metadata(archive: zipfile.ZipFile, names: set[str], display: str) -> Contents:
    def text(suffix: str) -> str:
        found = _metadata_file(names, suffix)
        if found is None:
            raise _refusal(display, f"has no {suffix}", f"declare an entry point in group {GROUP!r} and build it again")
        return archive.read(found).decode()

    metadata, _ = parse_email(text("METADATA"))
    points = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    points.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        points.read_string(text("entry_points.txt"))
    except configparser.Error as error:
        raise _refusal(display, f"entry_points.txt: {error}", "build it again") from error
    entries = points.items(GROUP) if points.has_section(GROUP) else []
    if len(entries) != 1:
        raise _refusal(
            display,
            f"has {len(entries)} entry points in group {GROUP!r}",
            "a plugin is one: give each its own wheel",
        )
    name, target = entries[0]
    module, _, attribute = target.partition("[")[0].strip().partition(":")
    if not module or not attribute:
        raise _refusal(
            display,
            f"entry point {name} = {target!r} names no factory",
            f'write {name} = "package:new_processor"',
        )
    parts = module.split(".")
    places = ["/".join((*parts[:length], "plugin.toml")) for length in range(len(parts), 0, -1)]
    place = next((place for place in places if place in names), None)
    if place is None:
        raise _refusal(display, f"has no {places[-1]}", "put plugin.toml, the manifest, in the package")
    try:
        manifest = read_plugin_toml(archive.read(place).decode(), name=name, version=metadata.get("version", ""))
    except ManifestError as error:
        raise _refusal(f"{display}/{place}:{error.line}", error.problem, error.remedy) from error
    return Contents(
        manifest=manifest,
        module=module,
        attribute=attribute,
        requires_python=metadata.get("requires_python"),
        dependencies=tuple(metadata.get("requires_dist", ())),
    )
