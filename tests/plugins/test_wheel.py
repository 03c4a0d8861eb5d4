"""A wheel is foreign input: what is refused, and that nothing of it is written before."""

import csv
import io
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from hostd.errors import Refusal, Stage
from hostd.plugins import wheel as wheels
from tests.build import ENTRY_POINTS, METADATA, RECORD, WHEEL_NAME, wheel

INFO = "demo_plugin-2.0.0.dist-info"
RECORDED = zipfile.ZipFile(io.BytesIO(wheel())).read(RECORD).decode()


def refusal(content: bytes, name: str = WHEEL_NAME) -> Refusal:
    """Return the refusal of a wheel."""
    with pytest.raises(Refusal) as caught:
        wheels.read(name, f"plugins.d/{name}", content)
    assert caught.value.stage is Stage.CHECKED
    assert caught.value.where.startswith(f"plugins.d/{name}")
    assert caught.value.remedy
    return caught.value


def with_entry(name: str, *, mode: int = 0) -> bytes:
    """Return a wheel with one more entry, written as it is named."""
    buffer = io.BytesIO(wheel())
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings(action="ignore"):
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, "x")
    return buffer.getvalue()


def test_a_wheel_says_what_it_is() -> None:
    """Manifest, factory, Python and dependencies come from its own metadata."""
    contents = wheels.read(
        WHEEL_NAME,
        "display",
        wheel({f"{INFO}/METADATA": METADATA + "Requires-Python: >=3.11\nRequires-Dist: pydantic>=2\n"}),
    )
    assert (contents.manifest.name, contents.manifest.version) == ("demo", "2.0.0")
    assert (contents.module, contents.attribute) == ("demo_plugin", "new_processor")
    assert (contents.requires_python, contents.dependencies) == (">=3.11", ("pydantic>=2",))


def test_factory_may_lie_deeper_than_the_manifest() -> None:
    """plugin.toml is looked for beside the module, then upwards."""
    points = "[hostd.processors]\ndemo = demo_plugin.inner.code:make [extra]\n"
    contents = wheels.read(WHEEL_NAME, "display", wheel({f"{INFO}/entry_points.txt": points}))
    assert (contents.module, contents.attribute) == ("demo_plugin.inner.code", "make")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({RECORD: None}, "has no RECORD"),
        ({RECORD: ""}, "is not in RECORD"),
        (
            {RECORD: RECORDED + "demo_plugin/gone.py,sha256=x,1\n"},
            "'demo_plugin/gone.py' is in RECORD and not in the archive",
        ),
        ({RECORD: RECORDED + RECORDED}, "RECORD names 'demo_plugin/__init__.py' twice"),
        ({RECORD: RECORDED, "demo_plugin/more.py": "x"}, "'demo_plugin/more.py' is not in RECORD"),
        (
            {RECORD: RECORDED, "demo_plugin/x.dist-info/RECORD.jws": "x"},
            "'demo_plugin/x.dist-info/RECORD.jws' is not in RECORD",
        ),
        ({"other-1.dist-info/RECORD": "", RECORD: RECORDED}, "has no RECORD"),
        ({RECORD: RECORDED.replace("sha256=", "md5=")}, "has no hash in RECORD"),
        ({RECORD: RECORDED.replace(",", ";")}, "is in RECORD and not in the archive"),
        ({RECORD: "x" * 200_000 + ",a,b\n"}, "is not a whole zip archive: field larger than field limit"),
        ({RECORD: b"\xff"}, "is not a whole zip archive: 'utf-8' codec can't decode"),
        ({f"{INFO}/METADATA": None}, "has no METADATA"),
        ({f"{INFO}/entry_points.txt": None}, "has no entry_points.txt"),
        ({f"{INFO}/entry_points.txt": "[other]\na = b:c\n"}, "has 0 entry points in group 'hostd.processors'"),
        ({f"{INFO}/entry_points.txt": "no section"}, "entry_points.txt: File contains no section headers"),
        ({f"{INFO}/entry_points.txt": ENTRY_POINTS + "two = b:c\n"}, "has 2 entry points in group 'hostd.processors'"),
        (
            {f"{INFO}/entry_points.txt": "[hostd.processors]\ndemo = demo_plugin\n"},
            "entry point demo = 'demo_plugin' names no factory",
        ),
        ({"demo_plugin/plugin.toml": None}, "has no demo_plugin/plugin.toml"),
        ({"demo_plugin/plugin.toml": "contract = 3"}, "field 'contract' = 3: Input should be a valid string"),
        ({"demo_plugin/plugin.toml": "name = 'x'"}, "field 'name' is 'x', but the wheel says 'demo'"),
        ({"../outside": "x"}, "holds a file that would leave its folder: '../outside'"),
        ({"/etc/passwd": "x"}, "holds a file that would leave its folder: '/etc/passwd'"),
        ({"a\\..\\b": "x"}, "holds a file that would leave its folder: 'a\\\\..\\\\b'"),
        ({"demo_plugin/__init__.py/x": "x"}, "holds 'demo_plugin/__init__.py/x' in a file"),
        ({"demo_plugin/./__init__.py": "x"}, "holds one file under two names"),
        ({"demo_plugin/zeros": b"\0" * (40 << 20)}, "bytes, more than 536870912 or 200 times as much"),
    ],
)
def test_a_bad_wheel_is_refused_by_name(changes: dict[str, str | bytes | None], problem: str) -> None:
    """The message says what is wrong with which file."""
    csv.field_size_limit(131_072)  # the default: a plugin that another test has imported may have raised it
    if changes == {RECORD: None}:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("demo_plugin/__init__.py", "")
        assert problem in refusal(buffer.getvalue()).problem
        return
    assert problem in refusal(wheel(changes)).problem


def test_wrong_hash_is_refused() -> None:
    """A file that is not the one that was built does not run."""
    honest = wheel(compression=zipfile.ZIP_STORED)
    changed = honest.replace(b'contract = ">=1.0,<2"', b'contract = ">=1.0,<3"', 1)
    record = zipfile.ZipFile(io.BytesIO(honest)).read(RECORD)
    assert changed != honest
    forged = wheel({"demo_plugin/plugin.toml": 'contract = ">=1.0,<3"\n', RECORD: record})
    assert refusal(forged).problem == "'demo_plugin/plugin.toml' is not the file that RECORD names"
    assert "Bad CRC-32" in refusal(changed).problem


def test_link_is_refused() -> None:
    """An archive names files by their bytes alone."""
    assert refusal(with_entry("demo_plugin/x", mode=stat.S_IFLNK | 0o777)).problem == "holds a link: 'demo_plugin/x'"


def test_what_is_no_file_is_refused() -> None:
    """Nor a device or a pipe."""
    error = refusal(with_entry("demo_plugin/x", mode=stat.S_IFIFO | 0o666))
    assert error.problem == "holds what is no file: 'demo_plugin/x'"


def test_entries_that_share_their_bytes_count_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb whose entries overlap is small, however much they claim to be packed into."""
    content = bytearray(wheel({f"demo_plugin/{number:03}": b"\0" * (1 << 20) for number in range(40)}))
    at, directory = 0, content.index(b"PK\x01\x02")
    while (at := content.find(b"PK\x01\x02", max(at + 1, directory))) >= 0:
        content[at + 20 : at + 24] = (1 << 20).to_bytes(4, "little")  # its packed size
    assert "to 41" in refusal(bytes(content)).problem


def test_duplicate_name_is_refused() -> None:
    """Two files of one name would be checked as one and run as the other."""
    assert refusal(with_entry("demo_plugin/__init__.py")).problem == "holds 'demo_plugin/__init__.py' twice"


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any of them is looked at."""
    monkeypatch.setattr(wheels, "MAX_FILES", 3)
    assert refusal(wheel()).problem == "holds 6 files, more than 3"


def test_other_machines_wheel_is_refused_with_a_tag_that_fits() -> None:
    """What it is built for, and what this machine takes."""
    error = refusal(wheel(), "demo_plugin-2.0.0-cp27-cp27m-win_amd64.whl")
    assert error.problem == "is built for cp27-cp27m-win_amd64"
    assert error.remedy.startswith("build it for this machine, for example cp3")


def test_renamed_wheel_is_refused() -> None:
    """The name carries the tags."""
    assert refusal(wheel(), "demo.whl").problem.startswith("is not named like a wheel: ")


@pytest.mark.parametrize("part", [0, 10, 200, -30], ids=lambda at: f"cut at {at}")
def test_truncated_wheel_is_refused(part: int) -> None:
    """A copy that broke off is not a plugin yet."""
    assert refusal(wheel()[:part]).problem.startswith("is not a whole zip archive: ")


@pytest.mark.parametrize("at", range(30, 1200, 45))
def test_damaged_wheel_is_refused_or_whole(at: int) -> None:
    """Whatever byte is wrong, the answer is a refusal or the wheel as it was built: nothing else is raised."""
    content = bytearray(wheel())
    content[at] ^= 0xFF
    try:
        contents = wheels.read(WHEEL_NAME, "display", bytes(content))
    except Refusal:
        return
    assert contents == wheels.read(WHEEL_NAME, "display", wheel())


def test_unpack_writes_all_but_caches(tmp_path: Path) -> None:
    """A .pyc in the archive would run instead of the source beside it."""
    content = wheel({"demo_plugin/__pycache__/__init__.cpython-311.pyc": "evil", "demo_plugin/deep/er/x.txt": "x"})
    wheels.unpack(content, str(tmp_path / "unpacked"))
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "unpacked/demo_plugin/__init__.py",
        "unpacked/demo_plugin/plugin.toml",
        "unpacked/demo_plugin/deep/er/x.txt",
        *(f"unpacked/{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")),
    }


def test_unpack_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    """Whole or not at all."""
    with pytest.raises(OSError, match="File name too long"):
        wheels.unpack(wheel({"z" * 300: "x"}), str(tmp_path / "unpacked"))
    assert list(tmp_path.iterdir()) == []
