"""Where in its input lies what a plugin has rejected: it hands over bytes, and a dead letter has a place."""

from typing import Any

from hostd.workers import wire

MAX_LONG_REASONS = 1000
SHORT_REASON_CHARACTERS = 200
"""Of a batch's dead letters only the first have a long reason: thousands are alike."""


class NotInInputError(ValueError):
    """What was rejected is no piece of the input."""


def find(
    data: bytes, rejected: list[tuple[bytes, str]], start: int, end: int, begun: int = 0
) -> list[tuple[int, int, str]]:
    """Return what was rejected of data[start:end] as place, length and reason, a byte only once.

    Of a stream the input begins only at `begun`; what is before was fed to it earlier, and can be only the beginning of
    what it rejects now. Raises NotInInputError.
    """
    position = start
    dead: list[tuple[int, int, str]] = []
    for raw, reason in rejected:
        at = data.find(raw, max(position, begun - len(raw) + 1), end)
        if at < 0:
            at = data.find(raw, start, end)
        if at < 0 or not raw:
            raise NotInInputError(f"{reason} (of {raw!r:.100}, which is no piece of the input)")
        dead.append((at, len(raw), reason))
        position = at + len(raw)
    return apart(dead)


def apart(dead: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return dead letters in order, without those that lie in or overlap another: a byte is in one at most."""
    found: list[tuple[int, int, str]] = []
    end: int | None = None
    for letter in sorted(dead, key=lambda letter: (letter[0], -letter[1])):
        if end is None or letter[0] >= end:
            found.append(letter)
            end = letter[0] + letter[1]
    return found


def send_all_but_last(dead: list[tuple[int, int, str]], channel: wire.Channel) -> list[list[Any]]:
    """Send dead letters ahead of an answer, as far as they are too many for it; return the rest."""
    entries: list[list[Any]] = []
    for number, (start, length, reason) in enumerate(dead):
        if len(entries) == wire.MAX_DEAD:
            channel.send(wire.Rejected(entries))
            entries = []
        most = wire.MAX_REASON_CHARACTERS if number < MAX_LONG_REASONS else SHORT_REASON_CHARACTERS
        entries.append([start, length, reason[:most], ""])
    return entries
