"""Copies that a rotation makes while commits are held up: what is said to have been read of them is committed first."""

import gzip

import pytest

from hostd.control import client

from .harness import Home, plugin


@pytest.mark.parametrize("packs", [False, True], ids=["a copy", "an archive"])
def test_a_copy_is_not_taken_as_read_before_what_was_read_of_the_log_is_committed(home: Home, packs: bool) -> None:
    """No sink can be written, the log is copied and truncated, and the daemon is killed: nothing of it is lost."""
    home.drop("lines.py", plugin(glob="*.log*"))
    daemon = home.start()
    home.out.write_text("in the way of the folder")
    first = [f"line {number} of what is copied" for number in range(40)]
    path = home.append("a.log", *first)
    daemon.wait_event("sink.failed")
    copy = home.logs / ("a.log.1.gz" if packs else "a.log.1")
    content = path.read_bytes()
    copy.write_bytes(gzip.compress(content) if packs else content)
    path.write_text("after it\n")
    daemon.wait_event("source.known", source=f"logs/{copy.name}", original="logs/a.log")
    client.ask(home.state / "hostd.sock", "GET", "/dead")  # which waits for what is being written to the ledger
    daemon.kill9()
    home.out.unlink()
    daemon = home.start()
    daemon.wait_records("lines", 41)
    assert sorted(home.lines()) == sorted([*first, "after it"])
    assert daemon.term() == 0
