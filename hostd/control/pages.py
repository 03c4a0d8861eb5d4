"""Pages of dead letters, as whoever asks for them gets them: of the daemon, or of the ledger where none runs."""

import base64
from collections.abc import Mapping
from typing import Any

from hostd.errors import HostdError
from hostd.pipeline.framing import declared_in
from hostd.pipeline.ledger import Letter
from hostd.pipeline.ledger.letters import PAGE_LETTERS, Page, Shelf
from hostd.pipeline.ledger.selection import Selection, number_in

FULL_PAGE_BYTES = 1 << 20
PREVIEW_BYTES = 120
DEFAULT_LETTERS = 50


def to_drop(arguments: Mapping[str, str]) -> Selection:
    """Return what is to be dropped. Raises HostdError when nothing says what, so that all would be."""
    selection = Selection.parse(arguments)
    if selection.is_all and not arguments.get("all"):
        raise HostdError("drop", "nothing says which dead letters", "name some with a filter, or give --all")
    return selection


def read_page(shelf: Shelf, arguments: Mapping[str, str]) -> tuple[Page, bool]:
    """Return the page that is asked for, and whether its letters are to be told in full. Raises HostdError."""
    is_full = bool(arguments.get("full"))
    most = min(number_in(arguments, "limit") or DEFAULT_LETTERS, PAGE_LETTERS)
    after = number_in(arguments, "after") or 0
    bytes_most = {"most_bytes": FULL_PAGE_BYTES} if is_full else {}
    return shelf.page(Selection.parse(arguments), after, most, **bytes_most), is_full


def page_as_json(page: Page, is_full: bool) -> dict[str, Any]:  # noqa: FBT001 - as `read_page` returns them
    """Return a page as JSON values; the shape is part of the interface."""
    return {"letters": [letter_as_json(letter, is_full) for letter in page.letters], "next": page.next}


def letter_as_json(letter: Letter, is_full: bool) -> dict[str, Any]:  # noqa: FBT001
    """Return a letter as JSON values, with its bytes as base64 if in full."""
    brief = {
        "id": letter.id,
        "at": letter.at,
        "plugin": letter.plugin,
        "generation": letter.generation,
        "source": letter.name,
        "offset": letter.offset,
        "length": letter.length,
        "kept": len(letter.raw),
        "reason": letter.reason,
        "tried_by": letter.tried or None,
        "note": letter.note or None,
        "preview": letter.raw[:PREVIEW_BYTES].decode("utf-8", "backslashreplace"),
    }
    if not is_full:
        return brief
    header, framing = letter.header, declared_in(letter.framing)
    return {
        **brief,
        "traceback": letter.traceback,
        "framing": framing._asdict() if framing else None,
        "header_base64": None if header is None else base64.b64encode(header).decode(),
        "raw_base64": base64.b64encode(letter.raw).decode(),
    }
