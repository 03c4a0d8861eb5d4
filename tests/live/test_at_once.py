"""A broken shortcut of a processor: every record comes out, and the log says what is slow, and in which line."""

from .harness import Home, plugin

BROKEN = """
from contract import each_record

def slowly(text, ctx):
    return {"line": text}

def at_once(text, ctx):
    return [{"line": line, "time": line.time} for line in text.splitlines()]
"""


def test_an_at_once_that_raises_costs_time_and_one_line_of_the_log(home: Home) -> None:
    source = plugin(code=BROKEN).replace("return each_line(parse)", "return each_record(slowly, at_once=at_once)")
    home.drop("lines.py", source)
    home.append("a.log", *map(str, range(100)))
    daemon = home.start()
    records = daemon.wait_records("lines", 100)
    assert [record["line"] for record in records] == [str(number) for number in range(100)]
    line = source.split("\n").index('    return [{"line": line, "time": line.time} for line in text.splitlines()]') + 1
    event = daemon.wait_event("plugin.logged", plugin="lines")
    assert event["said"] == "warning"
    assert event["message"] == (
        f"at_once raises AttributeError: 'str' object has no attribute 'time' (line {line}), of records that are taken"
        " one by one: this costs time, and nothing else; have it return None for what it does not know"
    )
    home.append("a.log", *map(str, range(100, 200)))
    daemon.wait_records("lines", 200)
    assert len(daemon.seen("plugin.logged")) == 1
