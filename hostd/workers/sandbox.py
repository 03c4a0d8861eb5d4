"""How a zygote is started under bubblewrap: what it is shown of the machine, and what stands in the way.

Nothing is in view that is not named here. Imports next to nothing, like `launch`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostd.early import SandboxMode

STORE = "/artifacts"
PLUGIN = "/plugin"
TEMPORARY = "/tmp"  # noqa: S108 - a mount point, for a folder of each worker's own
TEMPORARY_ELSEWHERE = "/scratch"

_PARTS = ("bin", "lib", "lib32", "lib64")
_SYSTEM = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64")
_SETTINGS = (
    "/usr/share/zoneinfo",
    "/usr/share/locale",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
)
_NETWORK_SETTINGS = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
)
_DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
"""Not /dev/zero: mapped, it is memory that no limit counts."""

_SYSCTLS = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "allow bwrap user namespaces by an AppArmor profile"),
    ("kernel/unprivileged_userns_clone", "0", "set sysctl kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "set sysctl user.max_user_namespaces=10000"),
)
_OTHERWISE = "let hostd make user namespaces: a container and a systemd unit can forbid it"
_OR_OFF = 'or set mode = "off" in [plugins.sandbox]'


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Whether plugins are to run confined, the store of artifacts they run from, and what none of them may see."""

    mode: SandboxMode
    store: Path
    state: Path


def command(python: list[str], sandbox: Sandbox, packages: str, paths: Sequence[str], *, network: bool) -> list[str]:
    """Return the command that runs `python` under bubblewrap, with `packages`, if any, and `paths` in view, to read."""
    system = [*_SETTINGS, *(_NETWORK_SETTINGS if network else ())]
    arguments = ["bwrap", "--unshare-user", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    arguments += [] if network else ["--unshare-net"]
    # With this one capability, in its own user namespace, each worker is given namespaces of its own: see `confine`.
    arguments += ["--die-with-parent", "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"]
    for folder in map(Path, _SYSTEM):
        if folder.is_symlink():
            arguments += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            arguments += ["--ro-bind", str(folder), str(folder)]
    for path in system:
        arguments += ["--ro-bind-try", path, path]
    for path in _python_folders():
        arguments += ["--ro-bind", path, path]
    for path in paths:
        # One that is gone since it was granted is missed by who needs it, and by nobody else.
        arguments += ["--ro-bind-try", path, path]
    if any(_is_within(str(sandbox.state), path) for path in paths):
        arguments += ["--tmpfs", str(sandbox.state)]
    if packages:
        arguments += ["--ro-bind", packages, packages]
    for device in _DEVICES:
        arguments += ["--dev-bind", device, device]
    arguments += ["--bind", "/proc", "/proc", "--dir", PLUGIN, "--dir", temporary(packages, paths)]
    arguments += ["--ro-bind", str(sandbox.store), STORE, "--remount-ro", "/", "--chdir", "/"]
    return [*arguments, "--", *python]


def environment(kept: Mapping[str, str], packages: str, paths: Sequence[str]) -> dict[str, str]:
    """Return the environment variables of a zygote under bubblewrap."""
    folder = temporary(packages, paths)
    return {**kept, "HOME": folder, "TMPDIR": folder}


def temporary(packages: str, paths: Sequence[str]) -> str:
    """Return where a worker's temporary folder is: /tmp, unless something that it must see lies there."""
    is_taken = any(_is_within(path, TEMPORARY) for path in (*_python_folders(), packages, *paths))
    return TEMPORARY_ELSEWHERE if is_taken else TEMPORARY


def why_not(said: str) -> tuple[str, str]:
    """Return why bubblewrap does not work here, given what it said, and what to do."""
    if sys.platform != "linux":
        return "bubblewrap is for Linux", f"run hostd there, {_OR_OFF}"
    if not said:
        return "bubblewrap is not installed", f"apt-get install bubblewrap (or its like), {_OR_OFF}"
    for name, value, remedy in _SYSCTLS:
        if _sysctl(name) == value:
            return f"{said} ({name.replace('/', '.')} is {value})", f"{remedy}, {_OR_OFF}"
    return said, f"{_OTHERWISE}, {_OR_OFF}"


def _python_folders() -> list[str]:
    """Return what Python, its standard library, hostd and the contract consist of."""
    found: list[Path] = []
    for prefix in (Path(sys.base_prefix), Path(sys.base_prefix).resolve(), Path(sys.prefix)):
        # Not the whole folder: a service's state may lie beside its libraries.
        found += [path for part in (*_PARTS, "pyvenv.cfg") if (path := prefix / part).exists()]
    for name in ("hostd", "contract"):
        spec = find_spec(name)  # an editable install lies elsewhere
        found += map(Path, (spec.submodule_search_locations or ()) if spec else ())
    found += _links_from(Path(sys.executable))
    paths = dict.fromkeys(map(str, found))
    return [path for path in paths if not any(_is_within(path, other) for other in (*_SYSTEM, *paths) if other != path)]


def _links_from(path: Path) -> Iterator[Path]:
    """Yield `path` and what it links to, step by step."""
    yield path
    while path.is_symlink():
        path = Path(os.path.normpath(path.parent / path.readlink()))
        yield path


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
