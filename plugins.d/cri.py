# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "cri"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Kubernetes container logs (CRI: containerd, CRI-O), long lines joined again."
# framing = "stream"
#
# [tool.hostd.accepts]
# lines = '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d) (stdout|stderr) [FP]( |$)'
# priority = -10
#
# [[tool.hostd.samples]]
# name = "0.log"
# input = """
# 2024-05-17T10:05:03.000000001Z stdout P a long\u0020
# 2024-05-17T12:05:03.2+02:00 stderr F oops
# 2024-05-17T10:05:03.3Z stdout F line
# 2024-05-17T10:05:03.4Z stdout F\u0020
# 2024-05-17T10:05:03.5Z stdout
# """
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.2Z", "stream": "stderr", "body": "oops"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.000000001Z", "stream": "stdout", "body": "a long line"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.4Z", "stream": "stdout", "body": ""}''',
# ]
# rejected = 1
# ///
"""Kubernetes container logs, as the container runtime interface has them: `TIME stdout|stderr F|P TEXT`.

Keys: `timestamp` (of the first piece), `stream`, `body`. The pieces of a line, marked `P` but for the last, are
joined, those of standard output and of standard error apart. A line of over 256 KiB is several records, all but the
last with `partial` true.
"""

import re
from collections.abc import Iterable, Iterator

from contract import Context, LineStream, Record, Rows, StreamProcessor, each_stream, timestamps

_LINE = re.compile(r"(\S+) (stdout|stderr) ([FP])(?::\S*)?(?: (.*))?", re.ASCII | re.DOTALL)
_STREAMS = {"stdout", "stderr"}
_MOST_CHARACTERS = 256 << 10


class CriStream(LineStream):
    def parse_line(self, line: str) -> Iterator[Record]:
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError("not TIME stdout|stderr F|P TEXT")
        time, stream, tag, text = found.groups("")
        timestamp = timestamps("%Y-%m-%dT%H:%M:%S%z")[time]
        record = self.kept.pop(stream, None) or {"timestamp": timestamp, "stream": stream, "body": ""}
        record["body"] += text
        if tag == "F":
            yield record
        elif len(record["body"]) > _MOST_CHARACTERS:
            yield {**record, "partial": True}
        else:
            self.kept[stream] = record

    def at_once(self, text: str, ctx: Context) -> Rows | None:
        rows = [line.split(" ", 3) for line in text.split("\n")]
        if self.kept or set(map(len, rows)) != {4}:
            return None
        times, streams, tags, bodies = zip(*rows, strict=True)
        if set(tags) != {"F"} or not _STREAMS.issuperset(streams):
            return None
        utc = timestamps("%Y-%m-%dT%H:%M:%S%z")
        return Rows(("timestamp", "stream", "body"), zip([utc[time] for time in times], streams, bodies, strict=True))

    def finish(self) -> Iterable[Record]:
        unfinished, self.kept = list(self.kept.values()), {}
        return unfinished


def new_processor() -> StreamProcessor:
    return each_stream(CriStream)
