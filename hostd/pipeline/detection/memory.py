"""What was found out of one source, for when it is ranked again: after a swap only one plugin of many is another."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache

from msgspec import Struct, field

from contract.manifest import Manifest


class Memory(Struct):
    """The manifests that a source was compared with, and those that accepted it; of the same name and first bytes.

    The mapping is kept, not copied, so that many sources can share it.
    """

    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    _of: bytes = b""

    def in_question(self, name: str, data: bytes, manifests: Mapping[str, Manifest]) -> list[Manifest] | None:
        """Return the manifests that may accept the source; None where nothing is known of it."""
        if self._of != _digest(name, data):
            return None
        known, accepted = self.manifests, self.accepted
        return [each for key, each in manifests.items() if key in accepted or known.get(key) is not each]

    def note(self, name: str, data: bytes, manifests: Mapping[str, Manifest], accepted: Iterable[str]) -> None:
        """Remember who of `manifests` accepts the source."""
        self._of = _digest(name, data)
        self.manifests, self.accepted = manifests, _shared(frozenset(accepted))


@lru_cache(maxsize=1024)
def _shared(names: frozenset[str]) -> frozenset[str]:
    """Return one object for the same names: most sources are accepted by the same few."""
    return names


def _digest(name: str, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16, key=name.encode("utf-8", "surrogatepass")[-64:]).digest()
