"""What a stream processor has read cannot be parsed again from its middle: the command says so, and touches nothing."""

from .harness import Daemon, Home, plugin
from .tracing import expected, records, trace, version

DATA = trace(60, damaged=None)
HALF = 444
"""In the middle of a block."""
APART = "what it makes of bytes depends on all that came before them; hostd parse reads it from its start, apart"


def in_two_generations(home: Home) -> Daemon:
    """Return a daemon in which two versions, one after the other, have read a trace each a half."""
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", DATA[:HALF])
    daemon = home.start()
    daemon.wait_all_read()
    home.drop("trace.py", version("2.0.0"))
    daemon.wait_event("generation.switched", plugin="trace", generation=2)
    home.append("a.trc", DATA[HALF:600])
    daemon.wait_all_read()
    return daemon


def test_ranges_are_left_while_a_stream_processor_is_in_service(home: Home) -> None:
    """Each with its place and the reason, and exit code 3; asked for or only tried, and the stream goes on."""
    daemon = in_two_generations(home)
    before = home.raw("trace")
    why = f"generation 1 has read it as a stream: {APART}"
    left = f"left as it is: {HALF} bytes of logs/a.trc, from 0 to {HALF}: {why}"
    total = "trace: 0 ranges, 0 bytes, 0 sources: 0 records and 0 dead letters of generation 1"
    tried = home.hostd("reparse", "trace", "--generation", "1", "--dry-run")
    assert (tried.returncode, tried.stdout.splitlines()) == (3, [left, f"{total} would be replaced"])
    done = home.hostd("reparse", "trace", "--generation", "1")
    assert done.returncode == 3
    assert done.stdout.splitlines() == [left, f"{total} are now 0 records and 0 dead letters of generation none"]
    assert daemon.seen("reparse.started")[0]["left"] == 1
    assert home.raw("trace") == before
    home.append("a.trc", DATA[600:])
    daemon.wait_all_read()
    assert records(home, "a.trc") == expected(DATA)
    assert daemon.term() == 0


def test_what_was_read_as_a_stream_is_left_and_what_was_read_as_lines_is_replaced(home: Home) -> None:
    """A version of lines is in service by now: of the stream it would make torn lines, where others had gone on."""
    daemon = in_two_generations(home)
    home.drop("trace.py", plugin("trace", "3.0.0", glob="*.trc", tag="wrong"))
    daemon.wait_event("generation.switched", plugin="trace", generation=3)
    home.append("text.trc", "text")
    daemon.wait("its line is a record", lambda: b"wrong" in home.raw("trace"))
    daemon.wait_all_read()
    home.drop("trace.py", plugin("trace", "4.0.0", glob="*.trc"))
    daemon.wait_event("generation.switched", plugin="trace", generation=4)
    before = home.raw("trace")
    for generation, begin, until in ((1, 0, HALF), (2, HALF, 600)):
        done = home.hostd("reparse", "trace", "--generation", str(generation))
        assert done.returncode == 3, done.stderr
        assert done.stdout.splitlines()[0] == (
            f"left as it is: {until - begin} bytes of logs/a.trc, from {begin} to {until}: generation {generation} has"
            f" read it as a stream: {APART}"
        )
    assert home.raw("trace") == before
    done = home.hostd("reparse", "trace", "--generation", "3")
    assert done.returncode == 0, done.stdout
    assert home.raw("trace") == before.replace(b'"by":"wrong"', b'"by":"4.0.0"')
    daemon.kill9()
    home.append("a.trc", DATA[600:])
    daemon = home.start()
    daemon.wait_event("stream.kept", source="logs/a.trc", generation=2)
    daemon.wait_all_read()
    assert records(home, "a.trc") == expected(DATA)
    assert daemon.term() == 0


def test_lines_are_left_when_a_stream_processor_would_have_to_parse_them(home: Home) -> None:
    """It cannot begin in the middle of what others have read."""
    home.drop("trace.py", plugin("trace", "1.0.0", glob="*.trc"))
    home.append("a.trc", "text")
    daemon = home.start()
    daemon.wait_records("trace", 1)
    daemon.wait_all_read()
    home.drop("trace.py", version("2.0.0"))
    daemon.wait_event("generation.switched", plugin="trace", generation=2)
    done = home.hostd("reparse", "trace", "--generation", "1", "--dry-run")
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines()[0] == (
        f"left as it is: 5 bytes of logs/a.trc, from 0 to 5: generation 2, which is in service, reads it as a stream:"
        f" {APART}"
    )
    assert daemon.term() == 0
