# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "stack_traces"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Plain text with stack traces of Java, Python and Go, each trace joined to one record."
# framing = "stream"
#
# [tool.hostd.accepts]
# head = '^(Traceback \(most recent call last\):|Exception in thread "|panic: |goroutine \d+ \[|[ \t]+at [\w.$]+\()'
# priority = -60
#
# [[tool.hostd.samples]]
# input = '''
# starting
# Exception in thread "main" IOError: no
#     at a.M.main(Main.java:5)
# Caused by: b.IOError
#     ... 1 more
# Traceback (most recent call last):
#   File "a.py", line 1, in <module>
# ValueError: no
#
# panic: no
#
# goroutine 1 [running]:
# main.main()
# 	/a.go:5 +0x58
# done
# '''
# records = [
#   '''{"body": "starting"}''',
#   '''{"severity_text": "ERROR", "severity_number": 17, "body":
#    "Exception in thread \"main\" IOError: no\n    at a.M.main(Main.java:5)\nCaused by: b.IOError\n    ... 1 more"}''',
#   '''{"severity_text": "ERROR", "severity_number": 17, "body":
#    "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nValueError: no"}''',
#   '''{"severity_text": "ERROR", "severity_number": 17, "body":
#    "panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:5 +0x58"}''',
#   '''{"body": "done"}''',
# ]
# ///
"""Plain text in which Java, Python and Go programs have left their stack traces.

Keys: `body`; of a trace also `severity_text` and `severity_number`, those of an error. A line of no trace is a
record of its own; empty lines between records are none.
"""

import re
from collections.abc import Iterable, Iterator

from contract import LineStream, Record, StreamProcessor, each_stream

# In a trace that is open, the lines that belong to it. A Python one ends with the first line that is not indented.
_BEGINS = {
    "python": re.compile(r"[ \t]*(?:\| *)?Traceback \(most recent call last\):"),
    "go": re.compile(r"panic: |fatal error: |goroutine \d+ \["),
    "java": re.compile(r"Exception in thread \"|(?:[\w$]+\.)+[\w$]*(?:Exception|Error|Throwable)\b"),
}
_GOES_ON = {
    "python": re.compile(r"\s|$|During handling of the above|The above exception was|Traceback \("),
    "go": re.compile(r"\s|$|goroutine \d+ \[|created by |\[signal |exit status |[\w./*()%-]+\(.*\)$|[\w./%-]+\.\S+\("),
    "java": re.compile(r"\s+at |\s+\.\.\. \d+ |\s*Caused by: |\s*Suppressed: |\s+\["),
}
_MOST_CHARACTERS = 256 << 10


class TraceStream(LineStream):
    """`kept` holds the trace that is open: its `kind`, its `lines`, their `size`, and whether the last ends it."""

    blank_lines = True

    def parse_line(self, line: str) -> Iterator[Record]:
        kind = self.kept.get("kind")
        if kind is not None and self._goes_on(kind, line):
            self.kept["lines"].append(line)
            self.kept["size"] += len(line)
            return
        yield from self.finish()
        begun = next((kind for kind, begins in _BEGINS.items() if begins.match(line)), None)
        if begun is not None:
            self.kept = {"kind": begun, "lines": [line], "size": len(line), "last": False}
        elif line:
            yield {"body": line}

    def _goes_on(self, kind: str, line: str) -> bool:
        if self.kept["size"] > _MOST_CHARACTERS:
            return False
        if kind == "python" and not self.kept["last"] and line and not line[0].isspace():
            self.kept["last"] = True  # `ValueError: no`, which ends the trace unless another is chained to it
            return True
        if kind == "python" and self.kept["last"] and line.startswith("  "):
            return False
        if kind == "python" and line.startswith("Traceback ("):
            if not self.kept["last"]:
                return False
            self.kept["last"] = False
            return self._is_chained()
        return _GOES_ON[kind].match(line) is not None

    def _is_chained(self) -> bool:
        last = next((line for line in reversed(self.kept["lines"]) if line), "")
        return str(last).startswith(("During handling", "The above exception"))

    def finish(self) -> Iterable[Record]:
        lines, self.kept = self.kept.get("lines"), {}
        if lines is None:
            return []
        return [{"severity_text": "ERROR", "severity_number": 17, "body": "\n".join(lines).rstrip("\n")}]


def new_processor() -> StreamProcessor:
    return each_stream(TraceStream)
