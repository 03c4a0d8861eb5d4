"""What a stranger's eye found: odd bytes, files rewritten under load, plugins and zygotes at their worst moment."""

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

from .harness import Daemon, Home, plugin
from .test_misbehaving import dead_letters

pytestmark = pytest.mark.slow

ODD_NAME = os.fsdecode(b"\xff.log")

SURROGATES = """

class _Odd:
    def parse(self, data, ctx):
        for raw in data.splitlines():
            text = raw.decode("utf-8", "surrogateescape")
            if text.startswith("reject"):
                ctx.reject(raw, text)
            elif text.startswith("raise"):
                raise ValueError(text)
            elif text.startswith("say"):
                ctx.log.warning(text)
            else:
                yield {"line": text}
"""


def gated(
    home: Home, name: str = "lines", *, glob: str = "*.log", before: str = "", manifest: str = ""
) -> tuple[str, Path]:
    """Return a plugin that says in a file that it parses, and then waits until `<file>.go` is there."""
    home.configure(sandbox="off")
    gate = home.path / f"{name}.parsing"
    code = (
        "import os\nimport time\n\n\n"
        "def wait():\n"
        f"    with open({str(gate)!r}, 'a') as file:\n"
        "        file.write('x')\n"
        f"    while not os.path.exists({f'{gate}.go'!r}):\n"
        "        time.sleep(0.005)\n"
    )
    source = plugin(name, glob=glob, code=f"{code}{before}", manifest=manifest)
    return source.replace("    return {", "    wait()\n    return {"), gate


def parses_begun(gate: Path) -> int:
    """Return how often a gated plugin has begun to parse a line."""
    return gate.stat().st_size if gate.exists() else 0


def open_gate(gate: Path) -> None:
    """Let a gated plugin go on."""
    Path(f"{gate}.go").touch()


def take(home: Home, processors: str) -> None:
    """Write hostd.toml with a sink that takes only these processors."""
    text = home.settings.read_text().splitlines()
    text = [line for line in text if not line.startswith("processors")]
    text.insert(text.index('folder = "out"') + 1, f'processors = ["{processors}"]')
    home.aside("\n".join(text)).replace(home.settings)


def test_text_of_a_plugin_that_utf8_cannot_hold_is_spelled_out(home: Home) -> None:
    """Rejected with, raised and logged: the bytes of the line are kept as they are, the words get backslashes."""
    home.drop("lines.py", plugin(code=SURROGATES).replace("return each_line(parse)", "return _Odd()"))
    home.drop("import.py", plugin("import", glob="*.none", code="raise ValueError('no \\udcff')\n"))
    home.append("a.log", "1", b"reject \xff\n", b"raise \xfe\n", b"say \xfd\n", "2")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    daemon.wait_all_read()
    letters = dead_letters(home)
    assert [raw.strip() for _, _, raw, _ in letters] == [b"reject \xff", b"raise \xfe"]
    assert letters[0][3] == "reject \\udcff"
    assert letters[1][3].startswith("ValueError: raise \\udcfe")
    assert daemon.wait_event("plugin.logged")["message"] == "say \\udcfd"
    assert "no \\udcff" in daemon.wait_event("artifact.refused", plugin="import")["reason"]
    status = home.hostd("status")
    assert status.returncode == 0, status.stderr
    assert "no \\udcff" in status.stdout
    home.append("a.log", "3")
    daemon.wait_records("lines", 3)


def test_a_log_whose_name_is_not_utf8_is_read_once(home: Home) -> None:
    """Its name is spelled out in records, status and ledger; a restart goes on where it was, also after a rename."""
    home.drop("lines.py", plugin(glob="*.log*"))
    home.append(ODD_NAME, "1")
    daemon = home.start()
    assert daemon.wait_records("lines", 1)[0]["@source"] == "logs/\\udcff.log"
    daemon.wait_all_read()
    status = home.hostd("status")
    assert status.returncode == 0, status.stderr
    assert "\\udcff.log" in status.stdout
    assert daemon.term() == 0
    home.append(ODD_NAME, "2")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    (home.logs / ODD_NAME).rename(home.logs / f"{ODD_NAME}.1")
    home.append(ODD_NAME, "3")
    daemon.wait_records("lines", 3)
    assert home.lines() == ["1", "2", "3"]


def test_a_file_rewritten_while_its_backlog_waits_is_read_anew(home: Home) -> None:
    """The sink fails, the budget is full, the file is written over, larger: old lines once, all new ones once."""
    home.configure("[pipeline]\nmemory_mib = 8\n")
    home.drop("lines.py", plugin())
    blocked = home.out / "lines.ndjson"
    blocked.mkdir(parents=True)
    old = [f"old {number:06} {'o' * 200}" for number in range(15_000)]
    new = [f"new {number:06} {'n' * 200}" for number in range(20_000)]
    home.append("a.log", *old)
    daemon = home.start()
    # By the second failure, 0.2 s after the first, all that the budget allows has long been read.
    daemon.wait_event("sink.failed", count=2)
    (home.logs / "a.log").write_bytes("".join(f"{line}\n" for line in new).encode())
    blocked.rmdir()
    truncated = daemon.wait_event("source.truncated", source="logs/a.log")
    assert 0 < truncated["offset"] < sum(len(line) + 1 for line in old)
    daemon.wait("the last new line is out", lambda: home.raw("lines").count(new[-1].encode()))
    daemon.wait_all_read()
    lines = home.lines()
    count = len(lines) - len(new)
    assert 0 < count < len(old)
    assert lines[:count] == old[:count]
    assert lines[count:] == new


def test_the_last_good_version_serves_after_a_restart_while_its_file_fails_slowly(home: Home) -> None:
    """Another plugin goes live, and tidies up, meanwhile: the private copy of what served is not its to remove."""
    home.drop("a.py", plugin("a"))
    home.drop("z.py", plugin("z", glob="*.z"))
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("a", 1)
    daemon.wait_event("generation.switched", plugin="z")
    assert daemon.term() == 0
    home.drop("a.py", plugin("a", "2.0.0", code="import time\n\ntime.sleep(0.5)\nraise ValueError('slowly')\n"))
    home.append("a.log", "2")
    daemon = home.start()
    refused = daemon.wait_event("artifact.refused", plugin="a")
    assert "slowly" in refused["reason"]
    assert daemon.seen("generation.switched", plugin="z"), "it went live while the other was being started"
    daemon.wait_event("generation.switched", plugin="a", version="1.0.0")
    assert [record["by"] for record in daemon.wait_records("a", 2)] == ["1.0.0", "1.0.0"]


def test_a_rescan_right_after_a_refused_file_was_removed_returns(home: Home) -> None:
    """The removal was noticed, and is not settled: a rescan forgets the file with its refusal, and so does another."""
    home.drop("bad.py", "nonsense\n")
    daemon = home.start()
    daemon.wait_event("artifact.refused", path="plugins.d/bad.py")
    (home.plugins / "bad.py").unlink()
    home.drop("lines.py", plugin())
    daemon.wait_event("generation.switched", plugin="lines")  # so it has looked since
    for _ in range(2):
        daemon.rescan()
    assert daemon.status()["refused"] == []


def test_narrowing_a_sink_while_a_batch_is_under_way_and_widening_it_again_loses_nothing(home: Home) -> None:
    """What no sink takes by the time it is parsed waits in its file, like what is appended then."""
    source, gate = gated(home)
    home.drop("lines.py", source)
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait("the batch is under way", lambda: parses_begun(gate))
    take(home, "other")
    daemon.hup()
    daemon.wait_event("config.reloaded")
    open_gate(gate)
    unrouted = daemon.wait_event("source.unrouted", source="logs/a.log")
    assert unrouted["reason"].startswith("no sink takes records of lines")
    home.append("a.log", "2")
    take(home, "lin*")
    daemon.hup()
    daemon.wait_event("config.reloaded", count=2)
    daemon.wait_records("lines", 2)
    daemon.wait_all_read()
    assert home.lines() == ["1", "2"]


def test_a_loop_of_links_in_the_folder_is_refused_and_the_others_load(home: Home) -> None:
    """A link to itself is no plugin and no end of the look: it is refused by name, until it is gone."""
    (home.plugins / "loop.py").symlink_to("loop.py")
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    refused = daemon.wait_event("artifact.refused", path="plugins.d/loop.py")
    assert "Too many levels of symbolic links" in refused["reason"]
    daemon.wait_records("lines", 1)
    home.drop("lines.py", plugin(version="1.1.0"))
    daemon.wait_event("generation.switched", plugin="lines", version="1.1.0")
    (home.plugins / "loop.py").unlink()
    daemon.wait("nothing is refused", lambda: not daemon.status()["refused"])


def test_a_plugin_that_hangs_on_many_large_files_leaves_room_for_another(home: Home) -> None:
    """It holds half of the budget and as many workers as may be busy, at most; a good plugin's lines go on."""
    home.configure("[pipeline]\nmemory_mib = 8\n\n[workers]\nbusy = 2\n\n[daemon]\ngrace_s = 0.2\n")
    source, gate = gated(home, "hangs", glob="*.hang", manifest="limits = { time_s = 20, batch_kib = 256 }")
    home.drop("hangs.py", source)
    home.drop("lines.py", plugin())
    for number in range(12):
        home.append(f"{number}.hang", (b"x" * 99 + b"\n") * 10_486)
    daemon = home.start()
    daemon.wait("both of its workers hang", lambda: parses_begun(gate) >= 2)
    for number in range(10):
        home.append("a.log", str(number))
        daemon.wait_records("lines", number + 1, deadline_s=5)
        hanging = daemon.plugin("hangs")
        assert hanging is not None
        assert hanging["workers"] <= 2
    assert parses_begun(gate) == 2
    assert not daemon.seen("batch.retried")


def test_killing_the_zygote_while_a_batch_is_under_way_blames_no_line(home: Home) -> None:
    """However often, each while the same lines are being parsed: they come out once, and none is a dead letter."""
    source, gate = gated(home)
    home.drop("lines.py", source)
    home.append("a.log", *map(str, range(10)))
    daemon = home.start()
    for number in range(1, 9):
        daemon.wait("a batch is under way", lambda number=number: parses_begun(gate) >= number)
        os.kill(daemon.zygote, signal.SIGKILL)
        daemon.wait_event("zygote.exited", count=number)
        daemon.wait_event("zygote.started", count=number + 1)
    daemon.wait("it is being parsed again", lambda: parses_begun(gate) >= 9)
    open_gate(gate)
    daemon.wait_records("lines", 10)
    assert daemon.wait_all_read()["dead_letters"] == {}
    assert home.lines() == [str(number) for number in range(10)]
    assert not daemon.seen("batch.retried")


def test_a_plugin_whose_private_copy_cannot_be_written_is_tried_again(home: Home) -> None:
    """Something lies in its place, as a full disk would: it is refused, the daemon goes on, it loads once mended."""
    home.drop("other.py", plugin("other", glob="*.other"))
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="other")
    content = plugin()
    in_the_way = home.state / "artifacts" / hashlib.sha256(content.encode()).hexdigest()
    in_the_way.touch()
    home.drop("lines.py", content)
    refused = daemon.wait_event("artifact.refused", path="plugins.d/lines.py")
    assert "cannot be written" in refused["reason"]
    home.append("a.other", "1")
    daemon.wait_records("other", 1)
    in_the_way.unlink()
    daemon.wait_event("generation.switched", plugin="lines")
    assert daemon.status()["refused"] == []


def test_a_record_without_an_end_does_not_stall_the_daemon(home: Home) -> None:
    """Gigabytes without a line end are looked through in turns: status answers, and another file's lines come out."""
    home.drop("lines.py", plugin())
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="lines")
    endless = home.append("endless.log", b"x")
    os.truncate(endless, 16 << 30)
    daemon.wait_event("source.routed", source="logs/endless.log")
    began = time.monotonic()
    daemon.status()
    assert time.monotonic() - began < 2, "it looked through all of it in one go"
    home.append("a.log", "1")
    daemon.wait_records("lines", 1, deadline_s=5)
    os.truncate(endless, 0)
    home.append("endless.log", "2")
    daemon.wait_records("lines", 2)


def test_a_swap_to_a_plugin_without_a_header_loses_no_line(daemon: Daemon) -> None:
    """Only the header had been read: for the next plugin it is a line like any other."""
    home = daemon.home
    home.drop("lines.py", plugin(manifest="header = 1"))
    daemon.wait_event("generation.switched", plugin="lines")
    home.append("a.log", "# head")
    daemon.wait_event("source.routed", source="logs/a.log")
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.switched", plugin="lines", version="2.0.0")
    home.append("a.log", "1")
    daemon.wait_records("lines", 2)
    assert home.lines() == ["# head", "1"]
