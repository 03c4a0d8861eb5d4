# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "powershell"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "PowerShell's transcripts: one record for each command, with its output."
# framing = "stream"
# accepts = { head = '^(\xef\xbb\xbf)?\*{22}\r?\n(Windows )?PowerShell transcript start\r?\n', priority = -20 }
#
# [[tool.hostd.samples]]
# name = "PowerShell_transcript.HOST.abc.20240517100503.txt"
# input = '''
# **********************
# Windows PowerShell transcript start
# Start time: 20240517100503
# Username: EXAMPLE\dana
# Host Application: powershell.exe
#  -NoLogo
# PSVersion: 5.1.19041.1682
# **********************
# Transcript started, output file is C:\a.txt
# PS C:\> 1..2
# 1
# 2
# **********************
# Command start time: 20240517100510
# **********************
# PS C:\Users> if ($true) {
# >> 'yes' }
# yes
# **********************
# Windows PowerShell transcript end
# End time: 20240517100600
# **********************
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "event": "start", "Username": "EXAMPLE\\dana", "Host Application":
#    "powershell.exe\n -NoLogo", "PSVersion": "5.1.19041.1682"}''',
#   '''{"body": "Transcript started, output file is C:\\a.txt"}''',
#   '''{"prompt": "PS C:\\>", "command": "1..2", "body": "1\n2"}''',
#   '''{"timestamp": "2024-05-17T10:05:10Z", "prompt": "PS C:\\Users>", "command": "if ($true) {\n'yes' }",
#    "body": "yes"}''',
#   '''{"timestamp": "2024-05-17T10:06:00Z", "event": "end"}''',
# ]
# ///
"""PowerShell's transcripts (`Start-Transcript`): what was typed, and what came of it.

Keys: `timestamp` (of a command only where the transcript has invocation headers), `prompt`, `command`, and `body`, its
output. The transcript's start and end are records with `event`, and the keys that PowerShell writes there (`Username`,
`Host Application`, `PSVersion`, …). What stands before the first prompt is a record with a `body` alone, and so is what
follows the first 256 KiB of an output, which have `partial`, true. The times are local: the option `time_zone` says
which zone. One that is no time stays as it is written, as `time`.
"""

import re
from collections.abc import Iterable, Iterator

from contract import JsonValue, LineStream, Record, StreamProcessor, each_stream, timestamps
from contract.options import LocalTime

_STARS = "*" * 22
_BLOCK = re.compile(r"(?:Windows )?PowerShell transcript (start|end)|Command start time: \d{14}", re.ASCII)
_PROMPT = re.compile(r"(PS(?: [^>]*)?>)(?: (.*))?")
_DIGITS = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)", re.ASCII)
_MOST_CHARACTERS = 256 << 10
_MOST_BLOCK_LINES = 100


class Options(LocalTime):
    """The operator's `[plugins.options.powershell]`."""


class PowershellStream(LineStream):
    """`kept` holds the `entry` under way, the lines of a `block` between two rows of stars, and a command's `time`."""

    blank_lines = True

    def parse_line(self, line: str) -> Iterator[Record]:
        block, line = self.kept.get("block"), line.removeprefix("\ufeff")
        if line == _STARS and block is None:
            self.kept["block"] = []
        elif block == [] and not _BLOCK.fullmatch(line):  # the stars are of the output
            del self.kept["block"]
            yield from self._output(_STARS)
            yield from self.parse_line(line)
        elif block is not None and line != _STARS:
            block.append(line)
            if len(block) > _MOST_BLOCK_LINES:
                yield from self._end_block()
        elif block is not None:
            yield from self._end_block()
        elif found := _PROMPT.fullmatch(line):
            yield from self._end_entry()
            self.kept["entry"] = {**self._when(self.kept.pop("time", "")), "prompt": found[1]}
            self.kept |= {"typed": [found[2] or ""], "printed": [], "size": 0}
        else:
            yield from self._output(line)

    def _output(self, line: str) -> Iterator[Record]:
        if "entry" not in self.kept:
            self.kept |= {"entry": {}, "typed": [], "printed": [], "size": 0}
        if line.startswith(">> ") and self.kept["typed"] and not self.kept["printed"]:
            self.kept["typed"].append(line[3:])
        else:
            self.kept["printed"].append(line)
        self.kept["size"] += len(line) + 1
        if self.kept["size"] > _MOST_CHARACTERS:
            for entry in self._end_entry():
                yield {**entry, "partial": True}

    def _end_entry(self) -> Iterator[dict[str, JsonValue]]:
        entry = self.kept.pop("entry", None)
        if entry is None:
            return
        if self.kept["typed"]:
            entry["command"] = "\n".join(self.kept["typed"])
        body = "\n".join(self.kept["printed"]).strip("\n")
        if body or entry:
            yield {**entry, "body": body}

    def _end_block(self) -> Iterator[Record]:
        yield from self._end_entry()
        first, *lines = self.kept.pop("block") or [""]
        kind = _BLOCK.fullmatch(first)
        if kind is None or kind[1] is None:
            self.kept["time"] = first.rpartition(" ")[2]
            for line in lines:
                yield from self._output(line)
            return
        fields: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if colon and not line.startswith(" "):
                fields[name] = value.strip()
            elif fields:
                fields[next(reversed(fields))] += f"\n{line}"
            else:
                fields["body"] = line
        yield {**self._when(fields.pop(f"{kind[1].title()} time", "")), "event": kind[1], **fields}

    def _when(self, digits: str) -> dict[str, JsonValue]:
        found = _DIGITS.fullmatch(digits)
        if found is None:
            return {"time": digits} if digits else {}
        year, month, day, *clock = found.groups()
        try:
            times = timestamps("%Y-%m-%d %H:%M:%S", self.ctx.options.time_zone)
            return {"timestamp": times[f"{year}-{month}-{day} {':'.join(clock)}"]}
        except ValueError:  # no day of the calendar: it stays what it is
            return {"time": digits}

    def finish(self) -> Iterable[Record]:
        if "block" in self.kept:
            yield from self._end_block() if self.kept["block"] else self._stars_at_end()
        yield from self._end_entry()
        if time := self.kept.pop("time", ""):
            yield self._when(time)

    def _stars_at_end(self) -> Iterator[Record]:
        del self.kept["block"]
        yield from self._output(_STARS)


def new_processor() -> StreamProcessor:
    return each_stream(PowershellStream)
