"""The processor `app_log`."""

import pytest

from tests.processors.support import parse, record, records


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "[2024-05-17 10:05:03,143] INFO KafkaConfig values: (kafka.Config)",
            ("INFO", "kafka.Config", None, "KafkaConfig values:"),
        ),
        ("2024-05-17 10:05:03,143 INFO [main] a.b.C: said", ("INFO", "a.b.C", "main", "said")),
        ("2024-05-17 10:05:03,143 INFO  [main] a.b.C - said", ("INFO", "a.b.C", "main", "said")),
        ("2024-05-17T10:05:03.143Z  WARN 77 --- [app] [  t-1] c.e.App   : said", ("WARN", "c.e.App", "t-1", "said")),
        ("2024-05-17 10:05:03.143 [t-1] ERROR a.b.C - said", ("ERROR", "a.b.C", "t-1", "said")),
        ("2024-05-17 10:05:03,143 - shop - WARNING - said", ("WARNING", "shop", None, "said")),
        ("2024-05-17 10:05:03,143:DEBUG:said", ("DEBUG", None, None, "said")),
        ("2024-05-17T10:05:03.143:INFO:com.root:said", ("INFO", "com.root", None, "said")),
        ("2024-05-17T10:05:03.143Z\tINFO\tmain.go:7 said", ("INFO", None, None, "main.go:7 said")),
        ("2024-05-17 10:05:03.143 +0000 ERROR said", ("ERROR", None, None, "said")),
        ("2024/05/17 10:05:03.143 [INFO] said (twice)", ("INFO", None, None, "said (twice)")),
        (
            "[2024-05-17T10:05:03,143][INFO ][o.e.n.Node    ] [node-1] said",
            ("INFO", "o.e.n.Node", None, "[node-1] said"),
        ),
        ("[2024-05-17 10:05:03,143: WARNING/ForkPoolWorker-1] said", ("WARNING", None, "ForkPoolWorker-1", "said")),
    ],
)
def test_the_usual_layouts_come_apart(line: str, expected: tuple[str | None, ...]) -> None:
    one = record("app_log", line)
    assert (one["severity_text"], one.get("logger"), one.get("thread"), one["body"]) == expected
    assert one["timestamp"].startswith("2024-05-17T10:05:03")


def test_a_stack_trace_belongs_to_the_record_before_it() -> None:
    trace = "java.io.IOException: no\n\tat a.B.c(B.java:5)\nCaused by: x.Y\n\t... 1 more"
    found = records("app_log", f"2024-05-17 10:05:03,143 ERROR [main] a.B: no\n{trace}", "2024-05-17 10:05:04,1 INFO x")
    assert [one["body"] for one in found] == [f"no\n{trace}", "x"]


def test_a_time_without_a_zone_is_of_the_operators_zone_and_one_with_a_zone_is_not() -> None:
    options = {"time_zone": "+02:00"}
    assert record("app_log", "2024-05-17 10:05:03 INFO x", options=options)["timestamp"] == "2024-05-17T08:05:03Z"
    assert record("app_log", "2024-05-17 10:05:03Z INFO x", options=options)["timestamp"] == "2024-05-17T10:05:03Z"


def test_what_has_a_time_and_no_level_has_no_severity() -> None:
    """Some programs print a line of their own between those of their logger."""
    assert records("app_log", "2024-05-17 10:05:03 said", "2024-05-17 10:05:03 INFO x")[0] == {
        "timestamp": "2024-05-17T10:05:03Z",
        "body": "said",
    }


def test_what_has_neither_a_time_nor_a_level_is_rejected() -> None:
    outcome = parse("app_log", b"no time\n2024-05-17 10:05:03 INFO x\n")
    assert [one["body"] for one in outcome.records] == ["x"]
    assert outcome.rejected == [(b"no time\n", "ValueError: no time or level that begins a message")]
