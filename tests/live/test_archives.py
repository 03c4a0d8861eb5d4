"""Archives, UTF-16 and FIFOs, read by the real daemon: every line once, whatever it lies in."""

import bz2
import gzip
import json
import lzma
import os
import struct
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from .harness import Daemon, Home, plugin

zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}
CORPUS = Path(os.environ.get("HOSTD_CORPUS") or "/nonexistent")


def packed(home: Home, name: str, *lines: str, end: str = "\n") -> Path:
    """Put an archive among the logs, in one step, that was written a while ago."""
    made = PACK[Path(name).suffix](("\n".join(lines) + end).encode())
    path = home.aside(made)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path.replace(home.logs / name)


def pack(path: Path, suffix: str) -> None:
    """Compress a file as gzip and the like do: the packed one is written, and then the plain one removed."""
    Path(f"{path}{suffix}").write_bytes(PACK[suffix](path.read_bytes()))
    path.unlink()


@pytest.fixture
def reading(home: Home) -> Daemon:
    """A daemon that reads all of logs/, and what lies in archives by the name of that."""
    home.drop("lines.py", plugin(glob="*.log*"))
    return home.start()


def test_archives_of_every_kind_are_read_and_not_again_after_a_restart(home: Home) -> None:
    """Each is routed by the name of what is in it, and after a restart not even unpacked."""
    home.drop("lines.py", plugin(glob="*.log"))
    for suffix in PACK:
        packed(home, f"a{suffix[1:]}.log{suffix}", *(f"{suffix} {number}" for number in range(3000)))
    daemon = home.start()
    daemon.wait_records("lines", 12_000, deadline_s=60)
    for suffix in PACK:
        name = f"logs/a{suffix[1:]}.log{suffix}"
        assert home.lines("lines", name) == [f"{suffix} {number}" for number in range(3000)]
        assert daemon.seen("source.decoded", source=name)
    daemon.wait_all_read()
    assert daemon.term() == 0
    daemon = home.start()
    packed(home, "later.log.gz", "one more")
    daemon.wait_records("lines", 12_001)


def test_an_archive_goes_on_in_the_middle_after_a_kill(home: Home) -> None:
    """Killed while it is read: checkpoints count unpacked bytes, and nothing comes twice."""
    slow = plugin(glob="*.log", manifest="limits = { batch_kib = 1 }", code="import time\n")
    home.drop("lines.py", slow.replace("    return {", "    time.sleep(0.0005)\n    return {"))
    lines = [f"line number {number}" for number in range(3000)]
    packed(home, "a.log.gz", *lines)
    daemon = home.start()
    daemon.wait("some of it is parsed", lambda: home.raw("lines").count(b"\n") > 500)
    daemon.kill9()
    home.wait_empty()
    daemon = home.start()
    daemon.wait_records("lines", len(lines))
    assert home.lines() == lines
    found = daemon.wait_event("source.found", source="logs/a.log.gz")
    assert found["offset"] > 0


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_a_log_that_was_read_is_not_read_again_when_it_is_rotated_and_packed(reading: Daemon, stopped: bool) -> None:
    """logrotate with compress: what was not read of the log is read in the archive, and nothing twice."""
    home, daemon = reading.home, reading
    lines = [f"{number}: a line of the first day" for number in range(100)]
    home.append("a.log", *lines)
    daemon.wait_records("lines", 100)
    if stopped:
        assert daemon.term() == 0
    home.append("a.log", "the last of the day")
    (home.logs / "a.log").rename(home.logs / "a.log.1")
    pack(home.logs / "a.log.1", ".gz")
    home.append("a.log", "the second day")
    if stopped:
        daemon = home.start()
    daemon.wait_records("lines", 102)
    known = daemon.wait_event("source.known", source="logs/a.log.1.gz")
    assert known["original"] == "logs/a.log"
    daemon.wait_all_read()
    assert sorted(home.lines()) == sorted([*lines, "the last of the day", "the second day"])


def test_an_archive_that_is_cut_short_is_read_as_far_as_it_goes_and_on_when_it_is_whole(reading: Daemon) -> None:
    """Whole lines are parsed, and half a one is not; one event says so; more of it is taken when it comes."""
    home = reading.home
    lines = [f"{number} {os.urandom(30).hex()}" for number in range(2000)]
    whole = gzip.compress(("\n".join(lines) + "\n").encode())
    path = home.aside(whole[: len(whole) // 2])
    os.utime(path, (1_000_000_000, 1_000_000_000))
    path = path.replace(home.logs / "a.log.gz")
    damaged = reading.wait_event("source.damaged", source="logs/a.log.gz")
    assert damaged["reason"] == "it ends too early"
    reading.wait("what is whole is parsed", lambda: home.raw("lines").count(b"\n") > 500)
    with path.open("ab") as file:
        file.write(whole[len(whole) // 2 :])
    reading.wait_records("lines", len(lines))
    assert home.lines() == lines
    assert len(reading.seen("source.damaged")) == 1


def test_a_damaged_archive_says_so_and_is_read_when_another_takes_its_place(reading: Daemon) -> None:
    """What came out before the damage is parsed; the mended one goes on from there."""
    home = reading.home
    lines = [f"{number} {os.urandom(30).hex()}" for number in range(4000)]
    whole = bytearray(PACK[".bz2"](("\n".join(lines[:2000]) + "\n").encode()))
    second = bytearray(PACK[".bz2"](("\n".join(lines[2000:]) + "\n").encode()))
    broken = home.aside(bytes(whole + second[:500] + b"\0" * 500 + second[1000:]))
    os.utime(broken, (1_000_000_000, 1_000_000_000))
    broken.replace(home.logs / "a.log.bz2")
    damaged = reading.wait_event("source.damaged", source="logs/a.log.bz2")
    assert damaged["reason"].startswith("it is damaged: ")
    reading.wait_records("lines", 2000)
    (home.logs / "a.log.bz2").write_bytes(bytes(whole + second))
    reading.wait_records("lines", 4000)
    assert home.lines() == lines


def zipped(home: Home, name: str, **files: str) -> Path:
    """Put a ZIP archive among the logs, in one step, that was written a while ago."""
    path = home.aside(b"")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files.items():
            archive.writestr(f"{file}.log", content)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path.replace(home.logs / name)


def test_a_zip_of_one_file_is_read_once_and_of_several_it_is_said_what_to_do(home: Home) -> None:
    """By the name without `.zip`, and not again after a restart; unpacked into the folder, the others are read."""
    home.drop("lines.py", plugin(glob="*.log"))
    zipped(home, "one.log.zip", one="".join(f"{number}\n" for number in range(3000)))
    zipped(home, "two.log.zip", a="1\n", b="2\n")
    daemon = home.start()
    daemon.wait_records("lines", 3000)
    assert home.lines("lines", "logs/one.log.zip") == [str(number) for number in range(3000)]
    assert daemon.wait_event("source.damaged", source="logs/two.log.zip")["reason"] == (
        "it holds 2 files (a.log, b.log), and is read with one alone; unpack it, and have the globs find them"
    )
    assert daemon.term() == 0
    daemon = home.start()
    home.append("a.log", "1")
    daemon.wait_records("lines", 3001)
    assert home.lines("lines", "logs/one.log.zip") == [str(number) for number in range(3000)]


def bomb(mib: int) -> bytes:
    """Return a gzip of three lines, of which the second is that long, made of one MiB's blocks again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(b"before\n") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b"x" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    tail = packer.compress(b"\nafter\n") + packer.flush()
    # What its end says of the contents is of all of them.
    contents = [b"before\n", *[b"x" * (1 << 20)] * mib, b"\nafter\n"]
    check = 0
    for part in contents:
        check = zlib.crc32(part, check)
    end = struct.pack("<II", check, sum(map(len, contents)))
    return head + block * mib + tail[:-8] + end


def test_a_bomb_is_a_long_log(home: Home) -> None:
    """A thousandfold ratio: memory holds a window of it, and other files do not wait."""
    home.drop("lines.py", plugin(glob="*.log", manifest="limits = { record_mib = 1 }"))
    home.aside(bomb(200)).replace(home.logs / "bomb.log.gz")
    daemon = home.start()
    daemon.wait_records("lines", 2, deadline_s=60)
    assert home.lines() == ["before", "after"]
    peak = next(line for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines() if "VmHWM" in line)
    assert int(peak.split()[1]) < 150 << 10, f"KiB: {peak}"


@pytest.mark.parametrize("codec", ["utf-16-le", pytest.param("utf-16-be", marks=pytest.mark.slow)])
def test_utf_16_with_its_mark_is_read_as_it_grows(reading: Daemon, codec: str) -> None:
    """As UTF-8, also where a write ends inside a character; after a restart from where it was."""
    home = reading.home
    home.append("w.log", "\ufeffé 1\r\n你好 2\r\n".encode(codec))
    reading.wait_records("lines", 2)
    end = "😀 3\n".encode(codec)
    home.append("w.log", end[:3])
    home.append("w.log", end[3:])
    reading.wait_records("lines", 3)
    assert reading.term() == 0
    daemon = home.start()
    home.append("w.log", "4\n".encode(codec))
    daemon.wait_records("lines", 4)
    assert home.lines() == ["é 1", "你好 2", "😀 3", "4"]


def test_a_utf_16_log_is_a_copy_by_its_name_as_a_plain_one_is(reading: Daemon) -> None:
    """A rotation that copies it is known; a log elsewhere that begins alike is another, with the same lines."""
    home = reading.home
    banner = "".join(f"banner {number:02}\n" for number in range(30))
    content = f"\ufeff{banner}".encode("utf-16-le")
    home.append("w.log", content)
    reading.wait_records("lines", 30)
    (home.logs / "other").mkdir()
    home.append("other/w.log", content)
    reading.wait_records("lines", 60)
    assert home.lines(source="logs/other/w.log") == banner.splitlines()
    home.append("w.log-20240131", content)
    known = reading.wait_event("source.known", source="logs/w.log-20240131")
    assert (known["original"], known["offset"]) == ("logs/w.log", len(banner))


ENCODED = (
    *(f"derived-encoding/syslog.{kind}.log" for kind in ("utf16le-bom", "utf16be-bom", "utf8-bom", "nul-head", "crlf")),
    "encoding/fluentbit-unicode_c.log",
    "encoding/fluentbit-unicode_j.log",
)
PACKED = ("derived-encoding/syslog.gz-multi-member.log.gz",)
"""By itself: it says what one of the others says, and may have been made of it."""


@pytest.mark.skipif(not CORPUS.is_dir(), reason="HOSTD_CORPUS does not name a folder of logs with their truth")
@pytest.mark.parametrize("names", [ENCODED, PACKED], ids=["encoded", "packed"])
def test_real_logs_in_other_encodings_come_out_as_they_are_known_to_be(home: Home, names: tuple[str, ...]) -> None:
    """Against a truth made by others; each by itself, all in one run."""
    home.drop("lines.py", plugin(glob="*.log"))
    for number, name in enumerate(names):
        # In a folder of its own: some say the same in another encoding, and none is another's copy.
        path = home.logs / str(number) / Path(name).name
        path.parent.mkdir()
        path.write_bytes((CORPUS / name).read_bytes())
    assert home.hostd("run", "--once").returncode == 0
    for number, name in enumerate(names):
        truth = json.loads((CORPUS / f"{name}.truth.json").read_text())["items"]
        expected = [line for item in truth for line in (item.get("raw") or item["text"]).split("\n")]
        assert home.lines(source=f"logs/{number}/{Path(name).name}") == expected, name


@pytest.mark.skipif(not CORPUS.is_dir(), reason="HOSTD_CORPUS does not name a folder of logs with their truth")
def test_a_rotated_set_of_archives_comes_out_whole(home: Home) -> None:
    """A log and its three predecessors, each packed in another way."""
    home.drop("lines.py", plugin(glob="app.log*"))
    for path in (CORPUS / "rotated").glob("app.log*"):
        if not path.name.endswith(".json"):
            (home.logs / path.name).write_bytes(path.read_bytes())
    assert home.hostd("run", "--once").returncode == 0
    assert len(home.lines()) == json.loads((CORPUS / "rotated/app.log.truth.json").read_text())["whole_lines"]


def test_without_a_library_for_zstd_the_event_says_what_to_install(home: Home) -> None:
    """Other files are read meanwhile."""
    hidden = home.path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['backports.zstd'] = None\n")
    home.variables["PYTHONPATH"] = str(hidden)
    home.drop("lines.py", plugin(glob="*.log"))
    packed(home, "a.log.zst", "one")
    home.append("b.log", "two")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    said = daemon.wait_event("source.unreadable", source="logs/a.log.zst")
    assert said["reason"] == (
        "zstd needs the package backports.zstd on this Python; install hostd[zstd], and start hostd again"
    )
    source = daemon.source("logs/a.log.zst")
    assert source is not None
    assert source["why"] == said["reason"]


def test_with_decode_off_plugins_get_the_bytes_of_the_file(home: Home) -> None:
    """For a format that merely begins like an archive."""
    home.configure(more="")
    text = home.settings.read_text().replace("[[sources]]\n", "[[sources]]\ndecode = false\n")
    home.settings.write_text(text)
    home.drop("lines.py", plugin(glob="*.gz"))
    home.append("a.gz", b"\x1f\x8b\x08 is how it begins\n")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    assert home.lines() == ["\x1f\\x8b\x08 is how it begins"]


def test_a_fifo_is_read_as_it_comes_and_a_full_one_waits(home: Home) -> None:
    """Writers come and go; what no plugin takes yet fills the pipe, and the daemon goes on with the rest."""
    os.mkfifo(home.logs / "pipe.log")
    home.append("a.log", "1")
    daemon = home.start()
    lines = [f"{number} through the pipe" for number in range(24_000)]

    def write() -> None:
        for start in (0, 12_000):
            with (home.logs / "pipe.log").open("w") as pipe:
                pipe.write("".join(f"{line}\n" for line in lines[start : start + 12_000]))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    daemon.wait("some of it was taken", lambda: (daemon.source("logs/pipe.log") or {"size": 0})["size"] >= 256 << 10)
    assert writer.is_alive(), "there is room for a part of it"
    home.drop("lines.py", plugin())
    daemon.wait_records("lines", 24_001)
    writer.join(5)
    assert home.lines("lines", "logs/pipe.log") == lines
    assert daemon.term() == 0
    daemon = home.start()
    with (home.logs / "pipe.log").open("w") as pipe:
        pipe.write("after a restart\n")
    daemon.wait_records("lines", 24_002)


def test_a_partial_last_line_is_taken_after_its_time(home: Home) -> None:
    """With partial_line_s; what is appended then is another line."""
    text = home.settings.read_text().replace("[[sources]]\n", "[[sources]]\npartial_line_s = 0.3\n")
    home.settings.write_text(text)
    home.drop("lines.py", plugin())
    daemon = home.start()
    home.append("a.log", b"whole\nprompt> ")
    daemon.wait_records("lines", 2)
    home.append("a.log", "answer")
    daemon.wait_records("lines", 3)
    assert home.lines() == ["whole", "prompt> ", "answer"]


@pytest.mark.slow
def test_what_an_archive_holds_is_explained_and_parsed_again(home: Home) -> None:
    """As are a log in UTF-16, and one that was packed since: bytes and offsets are those that plugins have seen."""
    lines = {f"{name}.log": [f"{name} {number}" for number in range(3000)] for name in ("packed", "wide", "old")}
    home.drop("lines.py", plugin(glob="*.log*", tag="wrong"))
    packed(home, "packed.log.gz", *lines["packed.log"])
    home.append("wide.log", ("\n".join(lines["wide.log"]) + "\n").encode("utf-16"))
    old = home.append("old.log", *lines["old.log"])
    daemon = home.start()
    daemon.wait_records("lines", 9000)
    daemon.wait_all_read()
    pack(old, ".gz")
    home.drop("lines.py", plugin(version="2.0.0", glob="*.log*"))
    daemon.wait_event("generation.switched", plugin="lines", version="2.0.0")
    done = home.hostd("reparse", "lines", "--generation", "1", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert (answer["records_before"], answer["records_after"], answer["left"]) == (9000, 9000, [])
    assert {record["by"] for record in home.records("lines")} == {"2.0.0"}
    for name, source in (("packed", "packed.log.gz"), ("wide", "wide.log"), ("old", "old.log")):
        assert home.lines("lines", f"logs/{source}") == lines[f"{name}.log"]
    for number, record in list(enumerate(home.records("lines"), start=1))[::2500]:
        done = home.hostd("explain", "--json", f"{home.out}/lines.ndjson:{number}")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["input"] == record["line"] + "\n", done.stdout
