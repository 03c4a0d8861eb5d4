# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "mongodb"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "MongoDB's log before 4.4, in text; later ones are JSON."
#
# [tool.hostd.framing]
# kind = "multiline"
# start = '(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d\.\d{3} )'
#
# [tool.hostd.accepts]
# head = """\
#   ^(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}(Z|[+-]\\d{4}) ([FEWI]|D[1-5]?) [A-Z-]+ +\\[[^\\]\\n]+\\] \
#   |(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}(Z|[+-]\\d{4})\
#   |[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3}) \
#   \\[(initandlisten|conn\\d+|rs[A-Z]\\w*|clientcursormon|TTLMonitor|signalProcessingThread|mongosMain|websvr)\\] )"""
# priority = -20
#
# [[tool.hostd.samples]]
# name = "mongod.log"
# input = '''
# 2018-05-17T12:05:03.143+0200 I NETWORK  [conn7] end connection 192.0.2.7:5022 (1 now open)
# 2018-05-17T10:05:04.001Z D2 COMMAND  [conn8] command shop.$cmd command: find { find: "a" } keysExamined:0 102ms
# 2018-05-17T10:05:04.002Z E -        [thread1] assertion
#  at a
# 2014-05-17T10:05:05.143+0000 [conn9] query shop.till 5ms
# 2018-05-17T10:05:06.001Z
# '''
# records = [
#   '''{"timestamp": "2018-05-17T10:05:03.143Z", "severity_text": "I", "severity_number": 9, "component": "NETWORK",
#    "context": "conn7", "client": "192.0.2.7:5022", "body": "end connection 192.0.2.7:5022 (1 now open)"}''',
#   '''{"timestamp": "2018-05-17T10:05:04.001Z", "severity_text": "D2", "severity_number": 6, "component": "COMMAND",
#    "context": "conn8", "namespace": "shop.$cmd", "duration_ms": 102, "body":
#    "command shop.$cmd command: find { find: \"a\" } keysExamined:0 102ms"}''',
#   '''{"timestamp": "2018-05-17T10:05:04.002Z", "severity_text": "E", "severity_number": 17, "context": "thread1",
#    "body": "assertion\n at a"}''',
#   '''{"timestamp": "2014-05-17T10:05:05.143Z", "context": "conn9", "namespace": "shop.till", "duration_ms": 5, "body":
#    "query shop.till 5ms"}''',
# ]
# rejected = 1
# ///
"""MongoDB's log before 4.4: a time, from 3.0 on a severity and a component, a context in brackets, and the message.

Keys: `timestamp`, `severity_text` (`F`, `E`, `W`, `I`, `D` to `D5`), `severity_number`, `component`, `context`,
`body`, and where they are said `client`, `namespace` and `duration_ms` of an operation. The times of 2.4 name neither a
year nor a zone: the options `year` and `time_zone` say which; without `year` one stays as it is written, as `time`.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, timestamps
from contract.options import LocalYear

_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|[+-]\d{4})?"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d\.\d{3}) "
    r"(?:(?P<level>[FEWI]|D[1-5]?) (?:-|(?P<component>[A-Z_]+)) +)?\[(?P<context>[^\]\n]+)\] (?P<body>.*)",
    re.ASCII | re.DOTALL,
)
_CLIENT = re.compile(r"(?:connection accepted from|end connection|received client metadata from) (\S+)")
_OPERATION = re.compile(r"(?:command|query|getmore|insert|update|remove) ([\w-]+\.[\w.$-]+)", re.ASCII)
_DURATION = re.compile(r" (\d{1,15})ms\Z", re.ASCII)
_NUMBERS = {"F": 21, "E": 17, "W": 13, "I": 9, "D": 5, "D1": 5, "D2": 6, "D3": 7, "D4": 8, "D5": 8}


class Options(LocalYear):
    """The operator's `[plugins.options.mongodb]`."""


def parse(text: str, ctx: Context) -> Record:
    found = _LINE.fullmatch(text)
    if found is None:
        raise ValueError("not TIME [SEVERITY COMPONENT] [CONTEXT] MESSAGE")
    record = _time(found["time"], ctx.options)
    if level := found["level"]:
        record |= {"severity_text": level, "severity_number": _NUMBERS[level]}
    record |= {name: found[name] for name in ("component", "context") if found[name]}
    body = found["body"]
    if client := _CLIENT.match(body):
        record["client"] = client[1]
    if operation := _OPERATION.match(body):
        record["namespace"] = operation[1]
        if duration := _DURATION.search(body[-20:]):
            record["duration_ms"] = int(duration[1])
    return {**record, "body": body}


def _time(text: str, options: Options) -> dict[str, JsonValue]:
    if text[0].isdigit():
        return {"timestamp": timestamps("%Y-%m-%dT%H:%M:%S%z", options.time_zone)[text]}
    if options.year is None:
        return {"time": text}
    return {"timestamp": timestamps("%a %b %d %H:%M:%S", options.time_zone, options.year)[text]}


def new_processor() -> Processor:
    return each_record(parse)
