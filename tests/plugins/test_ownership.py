"""Who owns and who may write what leads to a plugin: what passes, and what each refusal says."""

import errno
import grp
import os
import pwd
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostd.errors import Refusal, Stage
from hostd.plugins import artifact as artifacts
from hostd.plugins import ownership
from tests.build import plugin

ME = pwd.getpwuid(os.geteuid()).pw_name
ROOT_OR_ME = "root, the daemon's user" if ME == "root" else f"root or {ME}, the daemon's user"
NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with srv/plugins.d/demo.py in it, and real/demo.py beside that."""
    made = tmp_path / "site"
    for folder in ("srv/plugins.d", "real"):
        path = made / folder
        path.mkdir(parents=True)
        (path / "demo.py").write_text(plugin())
    for path in (made, *made.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # whatever the umask is
    return made


def link(path: Path, target: str) -> None:
    """Put a link in the place of what is there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target)


def name_of(uid: int) -> str:
    """Return what messages call a user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@dataclass(frozen=True)
class Refused:
    """A state of the site in which the plugin is refused, and the whole message; {site} is its path."""

    name: str
    make: Callable[[Path], object]
    message: str
    is_transient: bool = False
    needs_root: bool = False


STATES = [
    Refused(
        "file open to all",
        lambda site: (site / "srv/plugins.d/demo.py").chmod(0o666),
        "plugins.d/demo.py: is writable by everyone (mode 0666), so others could change what runs; "
        "chmod go-w {site}/srv/plugins.d/demo.py",
    ),
    Refused(
        "file open to others alone",
        lambda site: (site / "srv/plugins.d/demo.py").chmod(0o606),
        "plugins.d/demo.py: is writable by everyone (mode 0606), so others could change what runs; "
        "chmod o-w {site}/srv/plugins.d/demo.py",
    ),
    Refused(
        "sticky file open to all",
        lambda site: (site / "srv/plugins.d/demo.py").chmod(0o1666),
        "plugins.d/demo.py: is writable by everyone (mode 1666), so others could change what runs; "
        "chmod go-w {site}/srv/plugins.d/demo.py",
    ),
    Refused(
        "file open to a group of others",
        lambda site: (
            os.chown(site / "srv/plugins.d/demo.py", -1, NOBODY),
            (site / "srv/plugins.d/demo.py").chmod(0o664),
        ),
        "plugins.d/demo.py: is writable by its group (mode 0664), so others could change what runs; "
        "chmod g-w {site}/srv/plugins.d/demo.py",
        needs_root=True,
    ),
    Refused(
        "folder open to all",
        lambda site: (site / "srv/plugins.d").chmod(0o777),
        "{site}/srv/plugins.d: is writable by everyone (mode 0777), so others could change what runs; "
        "chmod go-w {site}/srv/plugins.d",
        is_transient=True,
    ),
    Refused(
        "a folder above open to all",
        lambda site: (site / "srv").chmod(0o757),
        "{site}/srv: is writable by everyone (mode 0757), so others could change what runs; chmod o-w {site}/srv",
        is_transient=True,
    ),
    Refused(
        "a link into a folder open to all",
        lambda site: (link(site / "srv/plugins.d/demo.py", "../../real/demo.py"), (site / "real").chmod(0o777)),
        "{site}/real: is writable by everyone (mode 0777), so others could change what runs; chmod go-w {site}/real",
        is_transient=True,
    ),
    Refused(
        "a link to a file open to all",
        lambda site: (
            link(site / "srv/plugins.d/demo.py", f"{site}/real/demo.py"),
            (site / "real/demo.py").chmod(0o666),
        ),
        "plugins.d/demo.py: is writable by everyone (mode 0666), so others could change what runs; "
        "chmod go-w {site}/real/demo.py",
    ),
    Refused(
        "a folder that is a link through one open to all",
        lambda site: (
            (site / "open").mkdir(),
            (site / "open").chmod(0o777),
            (site / "open/hop").symlink_to("../real"),
            link(site / "srv/plugins.d", "../open/hop"),
        ),
        "{site}/open: is writable by everyone (mode 0777), so others could change what runs; chmod go-w {site}/open",
        is_transient=True,
    ),
    Refused(
        "another's file",
        lambda site: os.chown(site / "srv/plugins.d/demo.py", NOBODY, -1),
        "plugins.d/demo.py: belongs to {nobody}, not to {mine}, so {nobody} could change what runs; "
        "run hostd as {nobody}, or chown {me} {site}/srv/plugins.d/demo.py",
        needs_root=True,
    ),
    Refused(
        "another's folder",
        lambda site: os.chown(site / "srv/plugins.d", NOBODY, -1),
        "{site}/srv/plugins.d: belongs to {nobody}, not to {mine}, so {nobody} could change what runs; "
        "run hostd as {nobody}, or chown {me} {site}/srv/plugins.d",
        is_transient=True,
        needs_root=True,
    ),
    Refused(
        "another's folder above",
        lambda site: os.chown(site / "srv", NOBODY, -1),
        "{site}/srv: belongs to {nobody}, not to {mine}, so {nobody} could change what runs; "
        "run hostd as {nobody}, or chown {me} {site}/srv",
        is_transient=True,
        needs_root=True,
    ),
    Refused(
        "another's file in a sticky folder",
        lambda site: ((site / "srv").chmod(0o1777), os.chown(site / "srv/plugins.d", NOBODY, -1)),
        "{site}/srv/plugins.d: belongs to {nobody}, not to {mine}, so {nobody} could change what runs; "
        "run hostd as {nobody}, or chown {me} {site}/srv/plugins.d",
        is_transient=True,
        needs_root=True,
    ),
    Refused(
        "another's link in a sticky folder",
        lambda site: (
            (site / "srv").chmod(0o1777),
            link(site / "srv/plugins.d", "../real"),
            os.lchown(site / "srv/plugins.d", NOBODY, -1),
        ),
        "{site}/srv/plugins.d: belongs to {nobody}, not to {mine}, so {nobody} could change what runs; "
        "run hostd as {nobody}, or chown -h {me} {site}/srv/plugins.d",
        is_transient=True,
        needs_root=True,
    ),
]


@pytest.mark.parametrize(
    "state",
    [pytest.param(state, marks=[as_root] if state.needs_root else []) for state in STATES],
    ids=lambda s: s.name,
)
def test_what_others_could_change_is_refused(state: Refused, site: Path) -> None:
    """The message says which check failed, on what, and the command that mends it; nothing of the file is kept."""
    state.make(site)
    with pytest.raises(Refusal) as caught:
        artifacts.read(site / "srv/plugins.d/demo.py", site / "store")
    assert str(caught.value) == state.message.format(site=site, me=ME, mine=ROOT_OR_ME, nobody=name_of(NOBODY))
    assert (caught.value.stage, caught.value.transient) == (Stage.CHECKED, state.is_transient)
    assert not (site / "store").exists()


@pytest.mark.parametrize("state", [state for state in STATES if "chmod" in state.message], ids=lambda s: s.name)
def test_the_command_in_the_message_mends_it(state: Refused, site: Path) -> None:
    """Also for a path that a shell would take apart."""
    if state.needs_root and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    odd = site.parent / "it's a place"
    site.rename(odd)
    state.make(odd)
    path = odd / "srv/plugins.d/demo.py"
    with pytest.raises(Refusal) as caught:
        os.close(ownership.open_owned(path, "plugins.d/demo.py"))
    assert os.system(caught.value.remedy) == 0
    os.close(ownership.open_owned(path, "plugins.d/demo.py"))


PASSES: dict[str, Callable[[Path], object]] = {
    "as it is": lambda site: None,
    "readable by its owner alone": lambda site: (site / "srv/plugins.d/demo.py").chmod(0o400),
    "a sticky folder above, open to all": lambda site: (site / "srv").chmod(0o1777),
    "a relative link": lambda site: link(site / "srv/plugins.d/demo.py", "../../real/demo.py"),
    "an absolute link": lambda site: link(site / "srv/plugins.d/demo.py", f"{site}/real/demo.py"),
    "a folder that is a link": lambda site: link(site / "srv/plugins.d", "../real/."),
    "links as a ConfigMap has them": lambda site: (
        (site / "srv/plugins.d/..data").symlink_to("../../real"),
        link(site / "srv/plugins.d/demo.py", "..data/demo.py"),
    ),
    "an own link in a sticky folder": lambda site: (
        (site / "srv").chmod(0o1777),
        link(site / "srv/plugins.d", "../real"),
    ),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_only_root_and_the_daemons_user_can_change_passes(name: str, site: Path) -> None:
    PASSES[name](site)
    found = artifacts.read(site / "srv/plugins.d/demo.py", site / "store")
    assert Path(found.private).read_text() == plugin()


@as_root
def test_roots_files_pass_for_another_user(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator's folder, and a daemon that may only read it."""
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    os.close(ownership.open_owned(site / "srv/plugins.d/demo.py", "plugins.d/demo.py"))
    os.chown(site / "srv", NOBODY, -1)
    os.close(ownership.open_owned(site / "srv/plugins.d/demo.py", "plugins.d/demo.py"))
    os.chown(site / "srv", 1, -1)
    with pytest.raises(Refusal, match=f"not to root or {name_of(NOBODY)}, the daemon's user"):
        ownership.open_owned(site / "srv/plugins.d/demo.py", "plugins.d/demo.py")


def private_group() -> int | None:
    """Return our group if it is ours alone, by the name that it has and who is in it."""
    me = pwd.getpwuid(os.geteuid())
    group = grp.getgrgid(me.pw_gid)
    others = {user.pw_name for user in pwd.getpwall() if user.pw_gid == me.pw_gid} | set(group.gr_mem)
    return me.pw_gid if group.gr_name == me.pw_name and others <= {me.pw_name} else None


def open_to_own_group(site: Path) -> Path:
    """Make everything as umask 002 does."""
    group = private_group()
    if group is None:
        pytest.skip(f"user {ME} has no group of its own")
    for path in (site / "srv", *(site / "srv").rglob("*")):
        os.chown(path, -1, group)
        path.chmod(0o775 if path.is_dir() else 0o664)
    return site / "srv/plugins.d/demo.py"


def test_a_group_of_the_owner_alone_may_write(site: Path) -> None:
    """Many systems give each user one, and umask 002: a clone made there works."""
    os.close(ownership.open_owned(open_to_own_group(site), "plugins.d/demo.py"))
    ownership.check_folder(site / "srv/plugins.d")


@pytest.mark.parametrize("name", ["demo.py", ""], ids=["file", "folder"])
def test_an_access_control_list_is_no_group_of_the_owner_alone(name: str, site: Path) -> None:
    """It lets others write by the bit of the group, whoever is in that."""
    path = open_to_own_group(site)
    entry, unnamed = struct.Struct("<HHI"), 0xFFFFFFFF
    mine, daemon, group, mask, others = (1, 7, unnamed), (2, 7, 1), (4, 4, unnamed), (16, 7, unnamed), (32, 4, unnamed)
    acl = struct.pack("<I", 2) + b"".join(entry.pack(*each) for each in (mine, daemon, group, mask, others))
    try:
        os.setxattr(path.parent / name, "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"this file system has no access control lists: {error}")
    with pytest.raises(Refusal, match=r"is writable by its group \(mode 0774\)"):
        ownership.open_owned(path, "plugins.d/demo.py")


def test_the_folder_of_plugins_itself_may_not_be_open_and_sticky(site: Path) -> None:
    """Others could replace no plugin in it, but add some: that is for folders above it."""
    folder = site / "srv/plugins.d"
    ownership.check_folder(folder)
    folder.chmod(0o1777)
    os.close(ownership.open_owned(folder / "demo.py", "plugins.d/demo.py"))
    with pytest.raises(Refusal) as caught:
        ownership.check_folder(folder)
    assert str(caught.value) == (
        f"{folder}: is writable by everyone (mode 1777), so others could change what runs; chmod go-w {folder}"
    )


def test_what_cannot_be_opened_is_told_as_the_system_tells_it(site: Path) -> None:
    """A file that is gone, a loop of links, a file in the place of a folder; and nothing stays open."""
    (site / "loop").symlink_to("loop")
    before = len(list(Path("/dev/fd").iterdir()))
    for name, number in (("gone", errno.ENOENT), ("loop", errno.ELOOP), ("real/demo.py/x", errno.ENOTDIR)):
        with pytest.raises(OSError, match=os.strerror(number)):
            ownership.open_owned(site / name, "it")
    for root in ("/", "//"):
        ownership.check_folder(Path(root))
    assert len(list(Path("/dev/fd").iterdir())) == before
