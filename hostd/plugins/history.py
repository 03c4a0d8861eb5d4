"""Which generations of each plugin went live before, and of which ones the bytes are kept.

The last few are kept for `hostd rollback`, and the last proven one for a restart that finds a broken file.
"""

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from hostd.past import Past

KEPT_GENERATIONS = 5


class History:
    """The generations that went live, by plugin, oldest first."""

    def __init__(self, past: Iterable[Past] = ()) -> None:
        self._past: dict[str, list[Past]] = {}
        for each in sorted(past, key=lambda each: each.number):
            self.add(each)

    def add(self, past: Past) -> None:
        """Take note that a generation went live, or was proven, or went live again."""
        entries = [each for each in self._past.get(past.plugin, []) if each.number != past.number]
        entries = sorted([*entries, past], key=lambda each: each.number)
        proven = [each for each in entries if each.permanent][-1:]
        self._past[past.plugin] = sorted({*proven, *entries[-KEPT_GENERATIONS:]}, key=lambda each: each.number)

    def count(self, plugin: str, number: int, records: int, rejected: int) -> None:
        """Take note of what a generation has made of its input."""
        past = self.get(plugin, number)
        if past is not None:
            self.add(replace(past, records=records, rejected=rejected))

    def last(self, plugin: str) -> Past | None:
        """Return the generation with the highest number."""
        return next(reversed(self._past.get(plugin, [])), None)

    def proven(self, plugin: str) -> Past | None:
        """Return the last generation that was proven."""
        return next((each for each in reversed(self._past.get(plugin, [])) if each.permanent), None)

    def before(self, plugin: str, number: int) -> Past | None:
        """Return the last generation before `number`, a proven one if there is any."""
        earlier = [each for each in self._past.get(plugin, []) if each.number < number]
        return next((each for each in reversed(earlier) if each.permanent), earlier[-1] if earlier else None)

    def get(self, plugin: str, number: int) -> Past | None:
        """Return one generation, if it is still kept."""
        return next((each for each in self._past.get(plugin, []) if each.number == number), None)

    def kept(self, plugin: str) -> list[Past]:
        """Return the generations whose bytes are kept, oldest first."""
        return [each for each in self._past.get(plugin, []) if Path(each.kept).exists()]

    def plugins(self) -> list[str]:
        """Return the names of all plugins that ever served."""
        return list(self._past)

    def digests(self, plugins: Iterable[str]) -> set[str]:
        """Return whose private copies must stay, of these plugins."""
        return {each.digest for plugin in plugins for each in self._past.get(plugin, [])}
