# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "fortunes"
# version = "1.0.0"
# contract = ">=0.1,<1"
# summary = "The texts of a fortune(6) file, with a percent sign alone on the line between two."
# accepts = { names = ["*.fortunes"] }
# framing = { kind = "multiline", start = '^%\r?\n' }
#
# [[tool.hostd.samples]]
# input = "Logs tell.\n%\nA stitch in time\nsaves nine.\n%\n%\n99 %\n"
# records = [
#   { message = "Logs tell." },
#   { message = "A stitch in time\nsaves nine." },
#   { message = "99 %" },
# ]
# ///
"""A plugin of contract 0: a name, `parse(data) -> list[str]`, and nothing to import.

Try it with `examples/logs/wisdom.fortunes`.
"""


class Fortunes:
    name = "fortunes"

    def parse(self, data: bytes) -> list[str]:
        texts: list[list[str]] = [[]]
        for raw in data.split(b"\n"):
            line = raw.decode("utf-8", "backslashreplace").removesuffix("\r")
            if line == "%":
                texts.append([])
            else:
                texts[-1].append(line)
        return [message for lines in texts if (message := "\n".join(lines).strip("\n"))]


def new_processor() -> Fortunes:
    return Fortunes()
