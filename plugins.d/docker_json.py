# /// script
# requires-python = ">=3.11"
# dependencies = ["msgspec"]
#
# [tool.hostd]
# name = "docker_json"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Docker's json-file logs: what a container writes, long lines joined again."
# accepts = { lines = '^\{"log": ?"', priority = -5 }
# framing = "stream"
#
# [[tool.hostd.samples]]
# name = "0123-json.log"
# input = '''
# {"log":"a long ","stream":"stdout","time":"2024-05-17T10:05:03.000000001Z"}
# {"log":"oops\n","stream":"stderr","time":"2024-05-17T10:05:03.2Z"}
# {"log":"line\r\n","stream":"stdout","time":"2024-05-17T10:05:03.3Z"}
# {"log":"torn
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.2Z", "stream": "stderr", "body": "oops"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.000000001Z", "stream": "stdout", "body": "a long line"}''',
# ]
# rejected = 1
# ///
"""Docker's json-file logs: each line wraps what a container has written, in pieces of at most 16 KiB.

Keys: `timestamp` (of the first piece), `stream`, `body`, and what else the driver adds, such as `attrs`. The pieces
of a line are joined, those of standard output and of standard error apart. A line of over 256 KiB is several
records, all but the last with `partial` true.
"""

import io
from collections.abc import Iterable, Iterator

import msgspec

from contract import Context, LineStream, Record, Rows, StreamProcessor, decode_json, each_stream, timestamps

_MOST_CHARACTERS = 256 << 10


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The ordinary line, which has nothing else."""

    log: str
    stream: str
    time: str


_decode = msgspec.json.Decoder(_Line).decode


class DockerStream(LineStream):
    def parse_line(self, line: str) -> Iterator[Record]:
        line = line.strip(" \t\r")
        piece, end = decode_json(line)
        if type(piece) is not dict or type(piece.get("log")) is not str or end != len(line):
            raise ValueError('not an object with a "log"')
        text = piece.pop("log")
        time = piece.pop("time", None)
        begun = {"timestamp": timestamps("%Y-%m-%dT%H:%M:%S%z")[time.upper()]} if time else {}
        stream = str(piece.get("stream", ""))
        record = self.kept.pop(stream, None) or {**begun, **piece, "body": ""}
        record["body"] += text
        if text.endswith("\n"):
            yield {**record, "body": record["body"][:-1].removesuffix("\r")}
        elif len(record["body"]) > _MOST_CHARACTERS:
            yield {**record, "partial": True}
        else:
            self.kept[stream] = record

    def at_once(self, text: str, ctx: Context) -> Rows | None:
        if self.kept:
            return None
        try:
            lines = list(map(_decode, io.BytesIO(f"{text}\n".encode()).readlines()))
        except msgspec.DecodeError:
            return None
        logs = [line.log for line in lines]
        written, bodies = "".join(logs), [log[:-1] for log in logs]
        # Each ends with a line feed, or these two differ.
        if "\r" in written or "\n".join(bodies) + "\n" != written:
            return None
        times = timestamps("%Y-%m-%dT%H:%M:%S%z")
        rows = [(times[line.time], line.stream, body) for line, body in zip(lines, bodies, strict=True)]
        return Rows(("timestamp", "stream", "body"), rows)

    def finish(self) -> Iterable[Record]:
        unfinished, self.kept = list(self.kept.values()), {}
        return unfinished


def new_processor() -> StreamProcessor:
    return each_stream(DockerStream)
