"""`(.*?);(.*?)` as `([^;]*);(.*?)`, which takes the same: then there is one way to match it, and nothing to try again.

`.*?` goes on beyond the first `;` only where what comes after that does not fit. What begins with another `.*?` or `.*`
fits behind the first `;` if it fits behind a later one: that takes what stands between.
"""

import re

_TOKEN = re.compile(
    r"(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<any>\((?:\?:)?\.\*\??\)(?![*+?{]))"
    r"|(?P<one>\\[^\w\s](?![*+?{])|[\w ,:;=@#/'\"<>!%&~`-](?![*+?{]))|(?P<other>\\.|.)",
    re.DOTALL | re.ASCII,
)
_FLAGS = re.compile(r"\(\?[a-zA-Z-]+[:)]")


def narrowed(text: str) -> str:
    """Return an expression of Python's that takes the same, where `.` is any character of the texts."""
    if _FLAGS.search(text):
        return text
    tokens = [(str(found.lastgroup), found[0]) for found in _TOKEN.finditer(text)]
    written = [piece for _, piece in tokens]
    for number in range(len(tokens) - 2):
        (kind, piece), (between, one), (after, _) = tokens[number : number + 3]
        if kind == after == "any" and between == "one" and "?)" in piece:
            written[number] = f"{piece[: piece.index('.')]}[^{one if one not in '^-' else chr(92) + one}]*)"
    return "".join(written)
