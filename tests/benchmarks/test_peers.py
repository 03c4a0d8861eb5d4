"""How peers are found, waited for and compared: so that no figure is of a peer that did something else."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import plot
from benchmarks.measure import Report, Series
from benchmarks.peers import throughput
from benchmarks.peers.peer import Files, Parser, plain, program
from benchmarks.traced import Traced, calls_per_mib, moved_per_byte, read

RECORD = {
    "timestamp": "2024-03-09T22:00:00Z",
    "client": "192.0.2.1",
    "user": None,
    "method": "GET",
    "path": "/",
    "protocol": "HTTP/1.1",
    "status": 200,
    "bytes": 7,
    "referer": None,
    "agent": "curl/8",
}


class Script(Parser):
    """A peer that is a few lines of Python, told where to write."""

    name = "script"
    install = "it is there"

    def __init__(self, code: str, *, ends: bool) -> None:
        super().__init__()
        self.code, self.ends = code, ends

    def version(self) -> str | None:
        return "1"

    def prepare(self, files: Files) -> Sequence[str | Path]:
        return [sys.executable, "-c", f"import sys, time\nout = open({str(files.out)!r}, 'w')\n{self.code}"]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, tmp_path / "log", tmp_path / "out.ndjson")


def wait(peer: Parser, files: Files, lines: int) -> float:
    began = peer.start(files)
    try:
        return peer.wait(files, lines, 10) - began
    finally:
        peer.stop()


def test_the_clock_of_a_peer_that_goes_on_ends_when_its_output_grew_last(files: Files) -> None:
    peer = Script("print('{}\\n{}', file=out, flush=True); time.sleep(60)", ends=False)
    assert wait(peer, files, 2) < 5


def test_the_clock_of_a_peer_that_ends_runs_until_it_has_ended(files: Files) -> None:
    peer = Script("print('{}', file=out, flush=True); time.sleep(0.5)", ends=True)
    assert wait(peer, files, 1) >= 0.5


def test_a_peer_that_writes_too_little_is_an_error_that_tells_what_it_said(files: Files) -> None:
    peer = Script("print('{}', file=out, flush=True); sys.exit('the disk is on fire')", ends=True)
    with pytest.raises(RuntimeError, match=r"script ended with 1:\nthe disk is on fire"):
        wait(peer, files, 2)


def test_a_peer_that_fails_is_an_error_however_much_it_wrote(files: Files) -> None:
    peer = Script("print('{}', file=out, flush=True); sys.exit(3)", ends=True)
    with pytest.raises(RuntimeError, match="script ended with 3"):
        wait(peer, files, 1)


def test_a_peer_is_ended_with_all_that_it_has_started(files: Files) -> None:
    code = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid, file=out, flush=True)"
    code += "\ntime.sleep(600)"
    wait(Script(code, ends=False), files, 1)
    pid = int(files.out.read_text())
    ends = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < ends:  # it was told to end, and has no parent left that waits for it
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_peers_that_write_the_same_values_in_other_types_and_times_are_equal() -> None:
    theirs = {
        **RECORD,
        "time": "09/Mar/2024:23:00:00 +0100",
        "status": "200",
        "bytes": "7",
        "user": "-",
        "referer": "-",
    }
    del theirs["timestamp"]
    assert plain(theirs) == plain(RECORD)


@pytest.mark.parametrize("name", [name for name in RECORD if name != "timestamp"])
def test_peers_whose_values_differ_in_one_field_are_not(name: str) -> None:
    assert plain({**RECORD, name: "another"}) != plain(RECORD)


def test_what_is_not_installed_is_skipped_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setenv("HOSTD_PEERS", str(tmp_path))
    monkeypatch.setattr(throughput, "PARSERS", (throughput.Lnav, throughput.Logprep))
    report = Report("peers")
    assert [parser.name for parser in throughput.installed(report)] == ["hostd"]
    assert report.notes == [
        "skipped: lnav, access_log is not installed (apt-get install lnav)",
        f"skipped: Logprep, dissector is not installed ({throughput.Logprep.install})",
    ]


def test_a_program_in_the_folder_of_peers_comes_before_one_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOSTD_PEERS", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").touch()
    assert program("bin/sh", "sh") == tmp_path / "bin" / "sh"
    (tmp_path / "bin" / "sh").unlink()
    assert program("bin/sh", "sh") not in (None, tmp_path / "bin" / "sh")


TRACE = """\
10 pread64(3</a/access.log>, "x"..., 100, 0) = 100
10 clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0} <unfinished ...>
11 write(1</dev/null>, "x", 1) = 1
10 <... clone3 resumed> => {parent_tid=[11]}, 88) = 11
10 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 12
12 write(1</dev/null>, "x", 1) = 1
11 pwritev2(4</a/out/access.ndjson>, [{iov_base="x"..., iov_len=50}], 1, 0, 0) = 50
11 pwrite64(5</a/state/ledger.db-wal>, "x"..., 4096, 0) = 4096
10 recvfrom(6<socket:[1]>,  <unfinished ...>
11 futex(0x7f, FUTEX_WAKE) = 1
10 <... recvfrom resumed>"x", 9, 0, NULL, NULL) = 9
10 recvfrom(6<socket:[1]>, 0x7f, 9, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
"""


def test_a_trace_is_counted_for_the_daemon_and_its_threads_without_waits_and_the_ledger() -> None:
    traced = read(TRACE, 1 << 20)
    assert traced.calls == {"pread64": 1, "clone3": 1, "clone": 1, "pwritev2": 1, "recvfrom": 2}
    assert traced.moved == {"pread64": 100, "pwritev2": 50, "recvfrom": 9}


def test_what_a_run_costs_by_itself_is_in_no_figure() -> None:
    traced = read(TRACE, 0)
    larger = Traced(2 << 20, traced.calls + traced.calls, traced.moved + traced.moved)
    assert calls_per_mib(traced, larger) == 3
    assert moved_per_byte(traced, larger) == 159 / (2 << 20)


def test_a_chart_has_a_bar_for_each_series_in_the_unit(tmp_path: Path) -> None:
    report = Report(
        "peers", series=[Series("hostd", "ms", [1, 2, 3]), Series("<other>", "ms", [4]), Series("n", "x", [1])]
    )
    results, out = tmp_path / "peers.json", tmp_path / "peers.svg"
    results.write_text(json.dumps({"benchmarks": [report.as_json()]}))
    plot.main(results, "ms", out)
    assert out.read_text().count("<rect") == 2
    assert "&lt;other&gt;" in out.read_text()
    with pytest.raises(SystemExit, match=r"has no series in kg; there are \['ms', 'x'\]"):
        plot.main(results, "kg", out)
