"""The processor `stack_traces`."""

from tests.processors.support import parse


def bodies(text: str) -> list[object]:
    return [one["body"] for one in parse("stack_traces", text.encode()).records]


def test_a_trace_of_python_goes_on_through_what_it_is_chained_to() -> None:
    first = "Traceback (most recent call last):\n  File \"a\", line 1\n    x()\nKeyError: 'a'"
    chain = "During handling of the above exception, another exception occurred:"
    second = 'Traceback (most recent call last):\n  File "b", line 2\nValueError: no'
    assert bodies(f"{first}\n\n{chain}\n\n{second}\nafter\n") == [f"{first}\n\n{chain}\n\n{second}", "after"]
    assert bodies(f"{first}\n{second}\n") == [first, second]


def test_a_trace_of_java_goes_on_through_its_causes() -> None:
    trace = "java.lang.Error: no\n    at a.B.c(B.java:5)\n  Suppressed: x.Y\nCaused by: z.Z\n    ... 1 more"
    assert bodies(f"before\n{trace}\nafter\n") == ["before", trace, "after"]


def test_a_panic_of_go_goes_on_through_its_goroutines() -> None:
    trace = "panic: no\n\ngoroutine 4 [running]:\npanic(0x45, 0x47)\n\t/a.go:5\n\ngoroutine 1 [running]:\nmain.main()"
    assert bodies(f"{trace}\n\ndone at last\n") == [trace, "done at last"]


def test_a_trace_is_an_error_and_other_lines_are_of_no_severity() -> None:
    found = parse("stack_traces", b"panic: no\n\nsaid, twice\n").records
    assert found == [{"severity_text": "ERROR", "severity_number": 17, "body": "panic: no"}, {"body": "said, twice"}]
