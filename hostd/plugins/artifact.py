"""A plugin file to bytes, digest, private copy and manifest. Nothing of it runs here.

The file is opened once; from then on the bytes that were hashed are the bytes that count. The private copy
lies in a folder named by the digest, so that two versions never share a path.
"""

import fcntl
import functools
import hashlib
import os
import signal
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from contract.manifest import Manifest, ManifestError, read_script
from contract.version import mismatch, negotiate
from hostd.errors import Refusal, Stage
from hostd.plugins import ownership, trust
from hostd.plugins.store import UNPACKED, keep, kept_at
from hostd.workers import preload

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_PYTHON = ".".join(map(str, sys.version_info[:3]))
MAX_BYTES = {".py": 4 << 20, ".toml": 1 << 20, ".whl": 256 << 20}


class BeingWrittenError(Exception):
    """Somebody has the file open for writing: it is looked at again, not refused."""


class Artifact(Struct, frozen=True):
    """One plugin file's bytes, checked.

    `path` is where the user dropped it and `display` how messages call it; `private` is the copy that runs: a
    file for `py` and `toml`, a folder for `wheel`. `contract` is the version of it that the plugin is served by.
    `module` and `attribute` are the factory's. `uses` are modules that it shares with other plugins, as far as one can
    tell. `policy` is what it was judged by.
    """

    path: Path
    display: str
    kind: Literal["py", "toml", "wheel"]
    digest: str
    size: int
    manifest: Manifest
    contract: str
    private: str
    module: str
    attribute: str
    requirements: "tuple[Requirement, ...]"
    uses: tuple[str, ...]
    policy: trust.Policy = trust.DEFAULT


def read(file: Path, store: Path, policy: trust.Policy = trust.DEFAULT, *, path: Path | None = None) -> Artifact:
    """Read and check a plugin file; blocks on the disk, and on ssh-keygen where signatures are wanted.

    `path` is where it counts as lying when `file` is its private copy. That one is judged by its digest and by the
    signature that was kept with it, so that a revoked key holds for it too; the store's mode keeps others out.

    Raises Refusal, BeingWrittenError, or FileNotFoundError when it is gone again.
    """
    owned = policy.settings.ownership and path is None
    path = path or file
    display = f"{path.parent.name}/{path.name}"
    digest = None
    try:
        content = _read_once(file, display, MAX_BYTES[path.suffix], owned=owned)
        digest = hashlib.sha256(content).hexdigest()
        trust.check_digest(digest, display, policy)
        if policy.wants_signature:
            signature = _read_signature(file, display)
            trust.check_signature(content, signature, display, policy)
            keep(signature, trust.signature_path(path).name, digest, store)
        check = {".py": _check_script, ".toml": _check_declaration, ".whl": _check_wheel}[path.suffix]
        return replace(check(path, display, content, digest, store), policy=policy)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refusal(
            Stage.CHECKED,
            display,
            f"cannot be read, or its copy in {store} cannot be written: {error}",
            "make room there, or look at the disk",
            transient=True,
        ) from error
    except ImportError as error:  # of a library that is loaded when it is first needed
        raise Refusal(
            Stage.CHECKED,
            display,
            f"cannot be checked: {error}",
            "make room for it (LimitNOFILE=, memory), or install hostd again",
            transient=True,
        ) from error
    except Refusal as refusal:
        refusal.digest = digest
        raise
    except BeingWrittenError:
        raise
    except Exception as error:  # of what somebody else wrote: whatever reading it raises, it is refused
        problem = f"cannot be read: {type(error).__name__}: {error}"
        unread = Refusal(Stage.CHECKED, display, problem, "make it simpler")
        unread.digest = digest
        raise unread from error


def _read_signature(file: Path, display: str) -> bytes:
    """Return the signature beside a file. Whose it is does not matter: what it says is verified."""
    try:
        path, shown = trust.signature_path(file), display + trust.SIGNATURE_SUFFIX
        return _read_once(path, shown, trust.MAX_SIGNATURE_BYTES, owned=False)
    except FileNotFoundError as error:
        raise Refusal(
            Stage.CHECKED,
            display,
            f"has no signature {path.name} beside it",
            f"sign it (ssh-keygen -Y sign -n {trust.NAMESPACE} -f KEY {file.name}) and drop that in too",
        ) from error


def _read_once(path: Path, display: str, limit: int, *, owned: bool) -> bytes:
    try:
        # Not blocking: a FIFO named like a plugin must not hang us.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        fd = ownership.open_owned(path, display) if owned else os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refusal(
            Stage.FOUND,
            display,
            f"cannot be read: {error.strerror}",
            "let the daemon's user read it",
            transient=True,
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Refusal(Stage.FOUND, display, "is not a regular file", "drop a file")
    with os.fdopen(fd, "rb") as file:
        before = os.fstat(fd)
        if before.st_size > limit:
            raise Refusal(Stage.CHECKED, display, f"has {before.st_size} bytes, more than {limit}", "make it smaller")
        _refuse_writers(fd)
        content = file.read(limit + 1) or b""  # None of what has nothing yet, as /proc/kmsg
        after = os.fstat(fd)
        if len(content) != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
            raise BeingWrittenError(display)
        return content


def _refuse_writers(fd: int) -> None:
    """Raise BeingWrittenError when any process has the file open for writing.

    The kernel grants a read lease only where nobody does. Where leases do not work (a file of another user, some
    file systems, other systems) the comparison of size and time around the read has to do.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return
    try:
        # Who opens the file meanwhile is told by a signal, SIGIO unless we choose one that is ignored by default.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError as error:
        raise BeingWrittenError from error
    except OSError:
        return
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _check_script(path: Path, display: str, content: bytes, digest: str, store: Path) -> Artifact:
    text = _decoded(content, display)
    try:
        manifest, metadata = read_script(text)
    except ManifestError as error:
        raise _misread(error, display) from error
    version = _negotiated(manifest, display)
    _check_python(metadata.requires_python, display)
    return Artifact(
        path=path,
        display=display,
        kind="py",
        digest=digest,
        size=len(content),
        manifest=manifest,
        contract=version,
        private=keep(content, path.name, digest, store),
        module=f"hostd_plugin_{manifest.name}_{digest[:12]}",
        attribute="new_processor",
        requirements=_requirements(metadata.dependencies, display),
        uses=preload.named_in(content),
    )


def _check_declaration(path: Path, display: str, content: bytes, digest: str, store: Path) -> Artifact:
    from contract.declared.table import read_declaration

    text = _decoded(content, display)
    try:
        manifest = read_declaration(text, name=path.stem)
    except ManifestError as error:
        raise _misread(error, display) from error
    return Artifact(
        path=path,
        display=display,
        kind="toml",
        digest=digest,
        size=len(content),
        manifest=manifest,
        contract=_negotiated(manifest, display),
        private=keep(content, path.name, digest, store),
        module=f"hostd_plugin_{manifest.name}_{digest[:12]}",
        attribute="new_processor",
        requirements=(),
        uses=preload.DECLARED,
    )


def _decoded(content: bytes, display: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Refusal(Stage.CHECKED, f"{display}:{line}", "is not UTF-8", "save it as UTF-8") from error


def _misread(error: ManifestError, display: str) -> Refusal:
    where = f"{display}:{error.line}" if error.line else display
    return Refusal(Stage.CHECKED, where, error.problem, error.remedy)


def _check_wheel(path: Path, display: str, content: bytes, digest: str, store: Path) -> Artifact:
    from hostd.plugins import wheel

    contents = wheel.read(path.name, display, content)
    version = _negotiated(contents.manifest, display)
    _check_python(contents.requires_python, display)
    keep(content, path.name, digest, store)
    private = kept_at(store, digest, UNPACKED)
    if not os.path.exists(private):  # noqa: PTH110 - a string, as all paths of the store
        try:
            wheel.unpack(content, private)
        except OSError as error:
            raise Refusal(
                Stage.CHECKED,
                display,
                f"cannot be unpacked: {error.strerror}",
                "make room in the state folder, or build it with shorter names",
                transient=True,
            ) from error
    return Artifact(
        path=path,
        display=display,
        kind="wheel",
        digest=digest,
        size=len(content),
        manifest=contents.manifest,
        contract=version,
        private=private,
        module=contents.module,
        attribute=contents.attribute,
        requirements=_requirements(contents.dependencies, display),
        uses=preload.ANY,
    )


def _negotiated(manifest: Manifest, display: str) -> str:
    """Return the version of the contract that the plugin is served by. Raises Refusal when there is none."""
    version = negotiate(manifest.contract)
    if version is None:
        refusal = Refusal(Stage.CHECKED, display, *mismatch(manifest.contract))
        refusal.plugin = manifest.name
        raise refusal
    return version


def _check_python(requires_python: str | None, display: str) -> None:
    try:
        fits = _fits_python(requires_python or "")
    except InvalidSpecifier as error:
        raise Refusal(
            Stage.CHECKED,
            display,
            f"requires-python {requires_python!r} is not a PEP 440 specifier",
            "write >=3.11",
        ) from error
    if not fits:
        raise Refusal(
            Stage.CHECKED,
            display,
            f"needs Python {requires_python}, and hostd runs on {_PYTHON}",
            "run hostd on such a Python, or widen requires-python",
        )


@functools.lru_cache(maxsize=256)
def _fits_python(specifier: str) -> bool:
    return SpecifierSet(specifier).contains(_PYTHON, prereleases=True)


def _requirements(dependencies: tuple[str, ...], display: str) -> "tuple[Requirement, ...]":
    """Return what a plugin depends on here. Raises Refusal."""
    if not dependencies:
        return ()
    from hostd.plugins import requirements  # it takes long to load, and few need it

    return requirements.read(dependencies, display)
