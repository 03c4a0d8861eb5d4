"""A plugin file to checked bytes: what is refused, and with which words."""

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from hostd.errors import Refusal, Stage
from hostd.plugins import artifact as artifacts
from hostd.plugins.artifact import Artifact, BeingWrittenError
from hostd.plugins.store import forget_unpacked, remove_others
from tests.build import WHEEL_NAME, artifact, plugin, wheel


def read(tmp_path: Path, content: str | bytes, name: str = "demo.py") -> Artifact:
    """Drop a file and read it."""
    path = tmp_path / "plugins.d" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return artifacts.read(path, tmp_path / "store")


def refusal(tmp_path: Path, content: str | bytes, name: str = "demo.py") -> Refusal:
    """Drop a file and return the refusal that reading it raises."""
    with pytest.raises(Refusal) as caught:
        read(tmp_path, content, name)
    return caught.value


def test_the_bytes_that_were_hashed_are_kept_under_their_digest(tmp_path: Path) -> None:
    """A private copy, readable by the daemon's user alone, in a folder named by the digest."""
    text = plugin()
    found = read(tmp_path, text)
    assert found.digest == hashlib.sha256(text.encode()).hexdigest()
    assert Path(found.private) == tmp_path / "store" / found.digest / "demo.py"
    assert Path(found.private).read_text() == text
    assert stat.S_IMODE(Path(found.private).stat().st_mode) == 0o400
    assert stat.S_IMODE(Path(found.private).parent.stat().st_mode) == 0o700
    assert [path.name for path in Path(found.private).parent.iterdir()] == ["demo.py"], "no temporary file is left"
    assert (found.kind, found.size, found.display) == ("py", len(text), "plugins.d/demo.py")
    assert (found.module, found.attribute) == (f"hostd_plugin_demo_{found.digest[:12]}", "new_processor")


def test_two_versions_never_share_a_path(tmp_path: Path) -> None:
    """What runs is not touched by what is dropped in next."""
    first = read(tmp_path, plugin())
    second = read(tmp_path, plugin(version="1.0.1"))
    assert first.private != second.private
    assert "1.0.0" in Path(first.private).read_text()
    assert first.module != second.module


def test_reading_again_keeps_the_copy_that_is_there(tmp_path: Path) -> None:
    """The same bytes are the same artifact."""
    first = read(tmp_path, plugin())
    inode = Path(first.private).stat().st_ino
    assert read(tmp_path, plugin()) == first
    assert Path(first.private).stat().st_ino == inode


def test_copies_that_nothing_refers_to_are_removed(tmp_path: Path) -> None:
    """A retired generation leaves no file; nor is a store that somebody removed an error."""
    store = tmp_path / "store"
    retired, current = read(tmp_path, plugin()), read(tmp_path, plugin(version="1.0.1"))
    remove_others({current.digest}, store)
    assert [path.name for path in store.iterdir()] == [current.digest] != [retired.digest]
    shutil.rmtree(store)
    remove_others({current.digest}, store)
    assert not store.exists()


def test_a_stored_copy_counts_as_lying_where_it_came_from(tmp_path: Path) -> None:
    """Messages name the user's file, not the private one."""
    found = read(tmp_path, plugin())
    again = artifacts.read(Path(found.private), tmp_path / "store", path=found.path)
    assert again == found


@pytest.mark.parametrize("name", ["demo.py", WHEEL_NAME])
def test_a_store_that_cannot_be_written_is_a_refusal_that_may_pass(tmp_path: Path, name: str) -> None:
    """A full disk, or no folder where it should be, is not the plugin's fault, and no crash."""
    (tmp_path / "store").touch()
    content = plugin() if name == "demo.py" else wheel()
    error = refusal(tmp_path, content, name)
    assert error.problem.startswith("cannot be read, or its copy in")
    assert error.transient
    (tmp_path / "store").unlink()
    assert read(tmp_path, content, name).manifest.name == "demo"


def test_a_copy_that_lost_its_bytes_is_written_anew(tmp_path: Path) -> None:
    """A power loss may leave the name of a private copy without its contents."""
    first = read(tmp_path, plugin())
    Path(first.private).chmod(0o600)
    Path(first.private).write_bytes(b"")
    assert read(tmp_path, plugin()) == first
    assert Path(first.private).read_text() == plugin()
    assert [path.name for path in Path(first.private).parent.iterdir()] == ["demo.py"]


def test_what_earlier_daemons_unpacked_is_forgotten_and_the_wheel_is_kept(tmp_path: Path) -> None:
    """Only the wheel's bytes count; what runs is unpacked from them."""
    found = read(tmp_path, wheel(), WHEEL_NAME)
    (Path(found.private) / "demo_plugin" / "__init__.py").chmod(0o600)
    (Path(found.private) / "demo_plugin" / "__init__.py").write_text("raise SystemExit")
    forget_unpacked(tmp_path / "store")
    assert [path.name for path in Path(found.private).parent.iterdir()] == [WHEEL_NAME]
    again = read(tmp_path, wheel(), WHEEL_NAME)
    assert again == found
    assert (Path(again.private) / "demo_plugin" / "__init__.py").read_text().startswith("\nfrom contract")


def test_too_large_a_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin is source code, not data."""
    monkeypatch.setitem(artifacts.MAX_BYTES, ".py", 100)
    error = refusal(tmp_path, b"x" * 101)
    assert str(error) == "plugins.d/demo.py: has 101 bytes, more than 100; make it smaller"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path, make: object) -> None:
    """A FIFO named like a plugin does not hang the daemon."""
    path = tmp_path / "demo.py"
    make(path)  # type: ignore[operator]
    with pytest.raises(Refusal, match=r"demo\.py: is not a regular file; drop a file") as caught:
        artifacts.read(path, tmp_path / "store")
    assert caught.value.stage is Stage.FOUND


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_may_become_readable(tmp_path: Path) -> None:
    """A missing permission is not the file's fault: it is tried again."""
    path = tmp_path / "demo.py"
    path.touch(0o000)
    with pytest.raises(Refusal, match="cannot be read: Permission denied; let the daemon's user read it") as caught:
        artifacts.read(path, tmp_path / "store")
    assert caught.value.transient


def test_loop_of_links_is_refused_and_may_pass(tmp_path: Path) -> None:
    """Whatever the kernel says about opening it is in the message."""
    path = tmp_path / "demo.py"
    path.symlink_to(path)
    with pytest.raises(Refusal, match="cannot be read: Too many levels of symbolic links") as caught:
        artifacts.read(path, tmp_path / "store")
    assert caught.value.transient


def test_missing_file_is_no_refusal(tmp_path: Path) -> None:
    """It was taken away again: there is nothing to refuse."""
    with pytest.raises(FileNotFoundError):
        artifacts.read(tmp_path / "gone.py", tmp_path / "store")


def test_a_file_that_another_process_writes_is_looked_at_later(tmp_path: Path) -> None:
    """Half a file is never judged; once its writer has let go, it is."""
    path = tmp_path / "demo.py"
    path.write_text(plugin())
    with subprocess.Popen(
        ["sh", "-c", 'exec 3>>"$0"; echo open; read line', path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(BeingWrittenError):
            artifacts.read(path, tmp_path / "store")
        writer.stdin.close()
    assert artifacts.read(path, tmp_path / "store").manifest.name == "demo"


def test_not_utf8_names_the_line(tmp_path: Path) -> None:
    """The first byte that is not text says where."""
    error = refusal(tmp_path, plugin().encode() + b"# \xe9\n")
    assert str(error) == f"plugins.d/demo.py:{plugin().count(chr(10)) + 1}: is not UTF-8; save it as UTF-8"
    assert error.stage is Stage.CHECKED


def test_manifest_error_names_file_and_line(tmp_path: Path) -> None:
    """`file:line: problem; remedy`, as editors understand it."""
    error = refusal(tmp_path, plugin().replace("name =", "nmae ="))
    assert str(error) == "plugins.d/demo.py:3: field 'nmae' is not known; did you mean 'name'?"


def test_wrong_contract_names_both_versions(tmp_path: Path) -> None:
    """What it asks for, and what this hostd speaks."""
    error = refusal(tmp_path, plugin().replace(">=1.0,<2", ">=2,<3"))
    assert error.problem == "asks for contract '>=2,<3', and this hostd speaks 1.0 and 0.1"
    assert error.remedy == 'write contract = ">=1.0,<2" or ">=0.1,<1" if it works with that, or upgrade hostd'
    assert (error.stage, error.plugin) == (Stage.CHECKED, "demo")


@pytest.mark.parametrize(("asked", "served"), [(">=1.0,<2", "1.0"), (">=0.1,<1", "0.1"), (">=0.1,<2", "1.0")])
def test_contract_is_negotiated_before_anything_runs(tmp_path: Path, asked: str, served: str) -> None:
    """The artifact says which version serves it; the highest that both sides speak."""
    path = tmp_path / "demo.py"
    path.write_text(plugin("raise SystemExit", contract=asked))
    assert artifacts.read(path, tmp_path / "store").contract == served


@pytest.mark.parametrize(
    ("top", "problem"),
    [
        ('requires-python = ">=99"', "needs Python >=99, and hostd runs on 3."),
        ('requires-python = "three"', "requires-python 'three' is not a PEP 440 specifier"),
        ('dependencies = ["not a requirement"]', "dependency 'not a requirement' is not a PEP 508 requirement: "),
        ("dependencies = [\"x; os_name ~= 'a'\"]", "has a marker that cannot be evaluated: Undefined"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(tmp_path: Path, top: str, problem: str) -> None:
    """Before anything of the plugin runs."""
    error = refusal(tmp_path, plugin(top=top))
    assert problem in error.problem
    assert error.stage is Stage.CHECKED


def test_requirements_for_other_systems_are_left_out(tmp_path: Path) -> None:
    """A marker that does not hold here asks for nothing."""
    found = artifact(tmp_path, top='dependencies = ["pydantic>=2", "x; python_version < \'3\'"]')
    assert [str(requirement) for requirement in found.requirements] == ["pydantic>=2"]


def test_wheel_is_unpacked_beside_its_private_copy(tmp_path: Path) -> None:
    """The folder is what runs; reading it again finds it there."""
    found = read(tmp_path, wheel(), WHEEL_NAME)
    assert found.kind == "wheel"
    assert (found.manifest.name, found.manifest.version) == ("demo", "2.0.0")
    assert (found.module, found.attribute) == ("demo_plugin", "new_processor")
    assert Path(found.private) == tmp_path / "store" / found.digest / "unpacked"
    assert (Path(found.private) / "demo_plugin" / "__init__.py").read_text().startswith("\nfrom contract")
    assert read(tmp_path, wheel(), WHEEL_NAME) == found


def test_wheel_that_cannot_be_written_is_refused_and_may_pass(tmp_path: Path) -> None:
    """A full disk, or a name too long for the file system, is no crash."""
    error = refusal(tmp_path, wheel({"demo_plugin/" + "x" * 300: "x"}), WHEEL_NAME)
    assert error.problem == "cannot be unpacked: File name too long"
    assert error.transient
    [folder] = (tmp_path / "store").iterdir()
    assert [path.name for path in folder.iterdir()] == [WHEEL_NAME], "half of a wheel is left"


DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    "line",
    [
        f'contract = ">=1.{"9" * 5000}"',
        f"samples = [{{ input = \"a\", records = ['''{{\"a\": {DEEP}}}'''] }}]",
    ],
    ids=["number", "nesting"],
)
def test_what_nobody_means_is_refused_and_ends_nothing(tmp_path: Path, line: str) -> None:
    source = f'# /// script\n# [tool.hostd]\n# name = "demo"\n# version = "1.0.0"\n# {line}\n# ///\n'
    if "contract" not in line:
        source = source.replace("# version", '# contract = ">=1.0,<2"\n# version')
    assert str(refusal(tmp_path, source.encode())).startswith("plugins.d/demo.py")
