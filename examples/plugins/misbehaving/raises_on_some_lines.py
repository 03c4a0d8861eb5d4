# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "raises_on_some_lines"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "A parser that raises on some lines."
# accepts = { names = ["*.misbehave_raises_on_some_lines"] }
# ///
"""Raises in the middle of a batch on a line that says `raise`.

The batch is parsed in halves until that line alone is left. It becomes a dead letter with the exception as
its reason; the other lines become records.
"""

from collections.abc import Iterator

from contract import Context, Record


class RaisingProcessor:
    def parse(self, data: bytes, ctx: Context) -> Iterator[Record]:
        for line in data.decode().splitlines():
            if line == "raise":
                raise ValueError("this line has something that its author did not think of")
            yield {"message": line}


def new_processor() -> RaisingProcessor:
    return RaisingProcessor()
