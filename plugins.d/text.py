# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "text"
# version = "2.0.0"
# contract = ">=1.0,<2"
# summary = "Plain text: each line is a body."
# accepts = { names = ["*", "!*.*", "*.txt", "*.text", "*.log", "*.out", "*.err"], fallback = true, priority = -100 }
# framing = "lines"
#
# [[tool.hostd.samples]]
# input = "first\r\n\nsecond, no line end"
# records = [{ body = "first" }, { body = "second, no line end" }]
#
# [[tool.hostd.samples]]
# input = "Y2Fm6Qo="
# encoding = "base64"
# records = [{ body = 'caf\xe9' }]
# ///
r"""Plain text in UTF-8: each line that is not empty is a record.

Keys: `body`. Bytes that are not UTF-8 are kept readable, as `\xe9`. It has the lowest priority: whatever else accepts a
`*.log` gets it.
"""

from collections.abc import Iterable

from contract import Context, Record, Rows


class TextProcessor:
    def parse(self, data: bytes, ctx: Context) -> Iterable[Record]:
        text = data.decode("utf-8", "backslashreplace")
        if ctx.offset == 0:
            text = text.removeprefix("\ufeff")
        # Not splitlines(): a form feed or U+2028 inside a message does not end it.
        lines = text.replace("\r\n", "\n").split("\n")
        return Rows(("body",), zip(filter(None, lines), strict=True))


def new_processor() -> TextProcessor:
    return TextProcessor()
