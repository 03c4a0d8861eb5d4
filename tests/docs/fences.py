"""The code blocks of the documentation, and how each says that it is to be tried.

A fence's first word is its language. After it may come `file=PATH` (the block is that file's contents) or
`no-run: REASON` (the block is shown and not tried).
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>\S.*)\n(?P<body>(?:.*\n)*?)(?P=indent)```$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `line` is that of its fence, from 1."""

    document: Path
    line: int
    language: str
    body: str
    file: str | None = None
    no_run: str | None = None

    @property
    def where(self) -> str:
        """The block's place, for a failure's message."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Return every page that speaks to users and contributors."""
    pages = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    return [*pages, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(document: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = document.read_text(encoding="utf-8")
    return [_block(document, text, match) for match in _FENCE.finditer(text)]


def _block(document: Path, text: str, match: re.Match[str]) -> Block:
    language, _, rest = match["info"].partition(" ")
    indent = len(match["indent"])
    body = "".join(line[indent:] for line in match["body"].splitlines(keepends=True))
    reason = rest.removeprefix("no-run:").strip() if rest.startswith("no-run:") else None
    file = rest.removeprefix("file=").strip() if rest.startswith("file=") else None
    assert not rest or reason or file, f"{document}: what is {rest!r} in a fence?"
    return Block(document, text.count("\n", 0, match.start()) + 1, language, body, file, reason)
