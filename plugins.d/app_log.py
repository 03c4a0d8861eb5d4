# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "app_log"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Logs of log4j, logback, Spring Boot, Kafka, Spark, Hadoop and Python's logging, stack traces joined."
#
# [tool.hostd.framing]
# kind = "multiline"
# start = """\
#   (\\[?\\d{4}[-/]\\d\\d[-/]\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d\
#   |\\d\\d/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d \
#   |\\d\\d:\\d\\d:\\d\\d[.,]\\d{3} \
#   |(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)[: ])"""
#
# [tool.hostd.accepts]
# lines = """\
#   ^((\\[?\\d{4}[-/]\\d\\d[-/]\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d([.,]\\d+)?( ?(Z|[+-]\\d\\d:?\\d\\d))?\\]?\
#   |\\d\\d/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d|\\d\\d:\\d\\d:\\d\\d[.,]\\d{3})\
#     ([: \\t]|( - [\\w.]+ - )|( \\[[^\\]\\n]*\\] ))\
#     *\\[?(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL|SEVERE)\\b\
#   |(TRACE|DEBUG|INFO|WARN|ERROR|FATAL) +(\\w+ )?\\[[^\\]\\n]+\\] [\\w.$]+:? \
#   |(DEBUG|INFO|WARNING|ERROR|CRITICAL):[\\w.]+:)"""
# priority = -40
#
# [[tool.hostd.samples]]
# name = "server.log"
# input = '''
# [2024-05-17 10:05:03,143] INFO KafkaConfig values: (kafka.server.KafkaConfig)
# 	broker.id = 0
# [2024-05-17 10:05:04,001] ERROR [Controller 0]: failed (kafka.controller.KafkaController)
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "INFO", "severity_number": 9, "logger":
#    "kafka.server.KafkaConfig", "body": "KafkaConfig values:\n\tbroker.id = 0"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.001Z", "severity_text": "ERROR", "severity_number": 17, "logger":
#    "kafka.controller.KafkaController", "body": "[Controller 0]: failed"}''',
# ]
#
# [[tool.hostd.samples]]
# name = "app.log"
# input = '''
# 2024-05-17T12:05:03.123+02:00  WARN 77 --- [   main] c.e.App  : slow
# 2024-05-17 10:05:03,143 DEBUG [main] a.b.C (C.java:7) - said
# 2024-05-17 10:05:03.2 [pool-1] ERROR a.b.C - no
# java.io.IOException: no
# 	at a.b.C.d(C.java:5)
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.123Z", "severity_text": "WARN", "severity_number": 13, "pid": "77",
#    "thread": "main", "logger": "c.e.App", "body": "slow"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "DEBUG", "severity_number": 5, "thread":
#    "main", "logger": "a.b.C", "location": "C.java:7", "body": "said"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.2Z", "severity_text": "ERROR", "severity_number": 17, "thread":
#    "pool-1", "logger": "a.b.C", "body": "no\njava.io.IOException: no\n\tat a.b.C.d(C.java:5)"}''',
# ]
#
# [[tool.hostd.samples]]
# name = "app.log"
# input = '''
# 2024-05-17 10:05:03,143 - shop.till - WARNING - open
# Traceback (most recent call last):
# ValueError: no
# 2024-05-17 10:05:03,143:INFO:shop:shut
# INFO:root:no time
# 24/05/17 10:05:40 INFO executor.Backend: Registered
# 10:05:03.143 [main] INFO a.B - no day
# 2024-05-17 nothing
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "WARNING", "severity_number": 13, "logger":
#    "shop.till", "body": "open\nTraceback (most recent call last):\nValueError: no"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "INFO", "severity_number": 9, "logger": "shop",
#    "body": "shut"}''',
#   '''{"severity_text": "INFO", "severity_number": 9, "logger": "root", "body": "no time"}''',
#   '''{"timestamp": "2024-05-17T10:05:40Z", "severity_text": "INFO", "severity_number": 9, "logger":
#    "executor.Backend", "body": "Registered"}''',
#   '''{"time": "10:05:03.143", "severity_text": "INFO", "severity_number": 9, "thread": "main", "logger": "a.B",
#    "body": "no day\n2024-05-17 nothing"}''',
# ]
# ///
"""Logs of applications: a time, a level, mostly a thread and a logger, then the message, and a stack trace after
it.

Keys: `timestamp`, `severity_text`, `severity_number`, `body` (with the lines that follow), and where they are said
`logger`, `thread`, `pid`, `location`. These are the usual layouts of log4j, logback, Spring Boot, Kafka, Spark,
Hadoop, Elasticsearch, Celery and Python's `logging`; of another one what follows the level, or the time, is the
body. A time without a zone is of the option `time_zone`; one without a day stays as it is written, as `time`.
"""

import re
from functools import lru_cache

from contract import Context, JsonValue, Processor, Record, Rows, each_record, severity_number, timestamps
from contract.options import LocalTime

_TIME = (
    r"\[?(?P<time>\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?"
    r"|\d\d/\d\d/\d\d \d\d:\d\d:\d\d|\d\d:\d\d:\d\d[.,]\d{3})\]?"
)
_LEVELS = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|SEVERE"
_LEVEL = rf"\[?(?P<level>{_LEVELS})\]?"
_THREAD = r"\[(?P<thread>[^\]\n]*)\]"
_LOGGER = r"(?P<logger>[\w.$/-]+)"
_BODY = r"(?P<body>.*)"

_LAYOUTS = [
    re.compile(layout, re.ASCII | re.DOTALL)
    for layout in (
        rf"{_TIME}\s+{_LEVEL} +(?P<pid>\d+) --- (?:\[[^\]\n]*\] )?{_THREAD} {_LOGGER} *: {_BODY}",  # Spring Boot
        rf"{_TIME}\s+{_LEVEL}\s+{_THREAD}:? {_LOGGER} +\((?P<location>[^)\n]*)\) - {_BODY}",
        rf"{_TIME}\s+{_LEVEL}\s+{_THREAD} {_LOGGER} *(?::| -) {_BODY}",
        rf"{_TIME}\s+{_THREAD} +{_LEVEL} +{_LOGGER} *(?::| -) {_BODY}",  # logback
        rf"(?=\[){_TIME}\s+{_LEVEL} (?P<body>[^\n]*?) \((?P<logger>[\w.$-]+)\)(?P<more>\n.*)?",  # Kafka
        rf"{_TIME}\[(?P<level>{_LEVELS}) *\]\[(?P<logger>[^\]\s]+) *\] {_BODY}",  # Elasticsearch
        rf"{_TIME}: {_LEVEL}/(?P<thread>[^\]\n]+)\] {_BODY}",  # Celery
        rf"{_TIME} - {_LOGGER} - {_LEVEL} - {_BODY}",  # Python
        rf"{_TIME}:{_LEVEL}:(?:(?P<logger>[\w.]+):)?{_BODY}",
        rf"{_TIME}\s+{_LEVEL} {_LOGGER}: {_BODY}",  # Spark
        rf"{_TIME}\s+{_THREAD} +{_LEVEL}:?\s+{_BODY}",
        rf"{_TIME}\s+{_LEVEL}:?\s+{_BODY}",
        rf"{_LEVEL}:{_LOGGER}:{_BODY}",  # Python without a configuration
        rf"{_LEVEL} +(?:\w+ )?{_THREAD} {_LOGGER}:? {_BODY}",
        rf"{_LEVEL}:?\s+{_BODY}",
        rf"{_TIME}[ \t:]*{_BODY}",
    )
]


_LEVEL_NAMES = frozenset(
    ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL", "SEVERE")
)
_START = (
    r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d|\d\d/\d\d/\d\d \d\d:\d\d:\d\d |\d\d:\d\d:\d\d[.,]\d{3} "
    r"|(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)[: ]"
)
"""That of the manifest."""
_TIME_OF_ALL = re.compile(
    r"\d{4}([-/])\d\d\1\d\d([T ])\d\d:\d\d:\d\d([.,]\d{1,9})?(Z|[+-]\d\d:?\d\d)?( - | \[)", re.ASCII
)


@lru_cache(maxsize=64)
def _layout(slash: str, letter: str, point: str, zone: str, after: str) -> re.Pattern[str]:
    """Return the expression for batches of logback's layout (`after` is ` [`) or Python's, with one form of time."""
    day = rf"\d{{4}}{slash}\d\d{slash}\d\d{letter}\d\d:\d\d:\d\d"
    time = day + (rf"{re.escape(point)}\d{{1,9}}+" if point else "") + (r"(?:Z|[+-]\d\d:?\d\d)" if zone else "")
    logger = r"([\w.$/-]++)"
    names = rf" - {logger} - ([A-Z]++) -" if after == " - " else rf" \[([^\]\n]*+)\] +([A-Z]++) +{logger} -"
    return re.compile(rf"^({time}){names} (.*+)((?:\n(?!{day}|{_START}).++)*+)", re.ASCII | re.MULTILINE)


class Options(LocalTime):
    """The operator's `[plugins.options.app_log]`."""


def parse(text: str, ctx: Context) -> Record:
    for layout in _LAYOUTS:
        found = layout.fullmatch(text)
        if found is not None:
            break
    else:
        raise ValueError("no time or level that begins a message")
    fields: dict[str, JsonValue] = {name: value for name, value in found.groupdict().items() if value is not None}
    level = fields.pop("level", None)
    body = f"{fields.pop('body')}{fields.pop('more', '')}"
    record = _time(str(fields.pop("time", "")), ctx.options)
    if level is not None:
        record |= {"severity_text": level, "severity_number": severity_number(str(level))}
    if found.groupdict().get("thread"):
        fields["thread"] = found["thread"].strip()
    return {**record, **fields, "body": body}


def at_once(text: str, ctx: Context) -> Rows | None:
    """Take records that are all of logback's layout, or of Python's, which no other one is mistaken for."""
    first = _TIME_OF_ALL.match(text)
    if first is None:
        return None
    slash, letter, fraction, zone, after = first.groups("")
    found = _layout(slash, letter, fraction[:1], zone[:1], after).findall(text)
    # A blank line is none of a body's at its end: where there is one, not all lines are found.
    if len(found) + "".join([row[-1] for row in found]).count("\n") != text.count("\n") + 1:
        return None
    levels = {row[2] for row in found}
    if not levels <= _LEVEL_NAMES:
        return None
    numbers = {level: severity_number(level) for level in levels}
    times = timestamps(f"%Y{slash}%m{slash}%d{letter}%H:%M:%S%z", ctx.options.time_zone)
    if after == " - ":
        return Rows(
            ("timestamp", "severity_text", "severity_number", "logger", "body"),
            [(times[time], level, numbers[level], logger, body + more) for time, logger, level, body, more in found],
        )
    threads = {thread: thread.strip() for thread in {row[1] for row in found}}
    if _LEVEL_NAMES & set(threads.values()):  # a thread of that name, or a level and a thread
        return None
    return Rows(
        ("timestamp", "severity_text", "severity_number", "thread", "logger", "body"),
        [
            (times[time], level, numbers[level], threads[thread], logger, body + more)
            for time, thread, level, logger, body, more in found
        ],
    )


def _time(text: str, options: Options) -> dict[str, JsonValue]:
    if len(text) < 17:
        return {"time": text} if text else {}
    if text[2] == "/":
        return {"timestamp": timestamps("%y/%m/%d %H:%M:%S", options.time_zone)[text]}
    notation = f"%Y{text[4]}%m{text[4]}%d{text[10]}%H:%M:%S%z"
    return {"timestamp": timestamps(notation, options.time_zone)[text]}


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
