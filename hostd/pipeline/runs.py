"""Dead letters to batches and back: a run of them that lie side by side is parsed at once, and each has its own end.

A batch of hundreds costs as little as one. It must come to the same as parsing each alone: only lines are put
together, and a line end that a plugin has left out of what it rejected is put back between them.
"""

from collections.abc import Iterable

from hostd.pipeline.framing import declared_in
from hostd.pipeline.ledger import Letter
from hostd.workers.batch import DeadLetter

RUN_BYTES = 256 << 10
RUN_LETTERS = 250
"""The event loop looks through a run in one go."""
_LINE_ENDS = b"\r\n"


def side_by_side(letters: Iterable[Letter]) -> Iterable[list[Letter]]:
    """Yield letters in runs that can be parsed as one batch: each begins where the line of the one before ends."""
    run: list[Letter] = []
    for letter in letters:
        if run and not (
            _goes_on(run[-1], letter) and letter.end - run[0].offset <= RUN_BYTES and len(run) < RUN_LETTERS
        ):
            yield run
            run = []
        run.append(letter)
    if run:
        yield run


def joined(letters: list[Letter]) -> bytes:
    """Return the bytes of a run as they lie in the source."""
    parts = []
    for letter, following in zip(letters, [*letters[1:], None], strict=True):
        gap = following.offset - letter.end if following else 0
        parts.append(letter.raw + _LINE_ENDS[2 - gap :] if gap else letter.raw)
    return b"".join(parts)


def fitted(dead: Iterable[DeadLetter], letters: list[Letter], data: bytes) -> tuple[DeadLetter, ...]:
    """Return what was rejected of a run, each that is a whole letter but for its line end as just that letter.

    A plugin may reject a line with its end or without, and one that raises has it cut with its end.
    """
    by_offset = {letter.offset: letter for letter in letters}
    found = []
    for one in dead:
        letter = by_offset.get(one.offset)
        if letter is not None:
            start = letter.offset - letters[0].offset
            whole = data[start : start + letter.length]
            if one.raw != whole and one.raw.rstrip(_LINE_ENDS) == whole.rstrip(_LINE_ENDS):
                one = DeadLetter(one.offset, whole, one.reason, one.traceback)
        found.append(one)
    return tuple(found)


def _goes_on(before: Letter, letter: Letter) -> bool:
    if (before.source, before.framing, before.header) != (letter.source, letter.framing, letter.header):
        return False
    cut_by = declared_in(before.framing)
    if before.is_cut or letter.is_cut or cut_by is None or cut_by.kind == "whole":
        return False
    gap = letter.offset - before.end
    if before.raw.endswith(b"\n"):
        return gap == 0
    return cut_by.kind == "lines" and cut_by.quote is None and 0 < gap <= len(_LINE_ENDS)
