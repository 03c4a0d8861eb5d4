"""The catalogue of log events: nothing else is logged, and each with its keys alone."""

import io
import json
import re
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from hostd import events


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the configuration of logging as it was."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("keys", [{}, {"reason": "x"}, {"pid": 1, "reason": "x", "more": 2}])
def test_emit_refuses_other_keys_than_declared(keys: dict[str, object]) -> None:
    """A missing or an unknown key is a bug, and said as one; nothing is logged then."""
    with capture_logs() as logged, pytest.raises(TypeError) as caught:
        events.emit(events.ZYGOTE_EXITED, **keys)
    assert str(caught.value) == f"event zygote.exited has keys ['pid', 'reason'], got {sorted(keys)}"
    assert logged == []


def test_emit_logs_the_name_at_its_level_with_its_keys() -> None:
    """One call is one event."""
    with capture_logs() as logged:
        events.emit(events.ZYGOTE_EXITED, pid=7, reason="gone")
    assert logged == [{"event": "zygote.exited", "log_level": "error", "pid": 7, "reason": "gone"}]


def test_json_is_one_object_a_line() -> None:
    """For machines: level, time in UTC, name and keys, text as it is."""
    out = io.StringIO()
    events.configure("json", "info", out)
    events.emit(events.SOURCE_ENDED, source="é.log", offset=3, reason="a\nb")
    logged = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert "é.log" in out.getvalue()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", logged.pop("timestamp"))
    assert logged == {"event": "source.ended", "level": "info", "source": "é.log", "offset": 3, "reason": "a\nb"}


def test_console_is_for_people_and_without_colours_where_there_are_none() -> None:
    """One line, no escape sequences into a file."""
    out = io.StringIO()
    events.configure("console", "info", out)
    events.emit(events.SOURCE_ENDED, source="a.log", offset=3, reason="removed")
    assert re.fullmatch(r"[\d:.]+ \[info +\] source\.ended +(\S+=\S+ ?){3}\n", out.getvalue())
    assert "\x1b" not in out.getvalue()


def test_console_has_no_control_characters_of_what_it_tells_of() -> None:
    """A log may hold anything, and a terminal obeys it; what can be printed is as it was."""
    out = io.StringIO()
    events.configure("console", "info", out)
    events.emit(events.SOURCE_ENDED, source="é.log", offset=3, reason="\x00\x1b[2J\x9b1A")
    assert out.getvalue().endswith("source=é.log offset=3 reason='\\x00\\x1b[2J\\x9b1A'\n")


@pytest.mark.parametrize(("terminal", "start"), [(False, "{"), (True, "\x1b")])
def test_auto_asks_whether_it_is_a_terminal(terminal: bool, start: str) -> None:
    """People get lines, pipes get JSON."""
    out = io.StringIO()
    out.isatty = lambda: terminal  # type: ignore[method-assign]
    events.configure("auto", "info", out)
    events.emit(events.ZYGOTE_EXITED, pid=1, reason="x")
    assert out.getvalue().startswith(start)


def test_a_log_that_takes_nothing_is_nobodys_failure_and_is_told_of_when_it_does_again() -> None:
    """Neither input nor a commit may be lost for a line about it."""

    class Full(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    out = Full()
    events.configure("json", "info", out)
    for _ in range(3):
        events.emit(events.ZYGOTE_EXITED, pid=1, reason="x")
    out.full = False
    for _ in range(2):
        events.emit(events.ZYGOTE_EXITED, pid=2, reason="x")
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [each["event"] for each in told] == ["log.interrupted", "zygote.exited", "zygote.exited"]
    assert told[0]["lines"] == 3


def test_lower_levels_are_not_shown() -> None:
    """And what is configured last counts."""
    out = io.StringIO()
    events.configure("json", "warning", out)
    events.emit(events.SOURCE_ENDED, source="a", offset=0, reason="x")
    assert out.getvalue() == ""
    events.configure("json", "debug", out)
    events.emit(events.ZYGOTE_STARTED, pid=1, sandbox="none", ms=1.0)
    assert json.loads(out.getvalue())["event"] == "zygote.started"


def test_catalogue_names_are_dotted_facts_with_a_meaning() -> None:
    """`subject.happened`, known by its own name, explained in a sentence, and no key that logging needs itself."""
    for name, event in events.CATALOGUE.items():
        assert name == event.name
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", name), name
        assert event.meaning.endswith("."), name
        assert not event.keys & {"event", "level", "timestamp"}, name
    assert [value for value in vars(events).values() if isinstance(value, events.Event)] == [*events.CATALOGUE.values()]
