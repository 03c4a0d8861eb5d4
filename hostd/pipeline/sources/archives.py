"""What of an archive was read before: itself, or the file that it was made of, which is gone by then.

Its plain bytes tell, by the same fingerprint and marker as a plain file's, so its name does not matter. To find out
it is unpacked, in a thread, and as long as that may take it is not read.
"""

from collections.abc import Iterable

from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.pipeline.sources.file import ENDED_S, FINGERPRINT_BYTES, HEAD_BYTES, FileSource
from hostd.pipeline.sources.marks import MARKER_BYTES, digest, ends_alike
from hostd.pipeline.sources.memory import MOST_PATIENT_S, Known, Memory
from hostd.pipeline.sources.unpacked import Unpacked

UNDECIDED_S = 0.5
Seal = tuple[bytes, int]
"""How to know an archive's packed bytes again, and how many plain ones are in it."""
Seals = dict[int, Seal]
"""By a source's number."""


class Archives:
    """Decides where to begin with what has to be unpacked."""

    def __init__(self, memory: Memory, seals: Seals) -> None:
        self._memory = memory
        self._seals = seals

    async def identify(self, source: FileSource, patient: bool) -> float | None:  # noqa: FBT001
        """Go on where something says; return None, or after how many seconds to ask again, if that is allowed."""
        content = source.unpacked
        assert content is not None
        own = self._memory.of_file((source.device, source.inode))
        if self._resume_sealed(source, content, own):
            return None
        idle_s = source.idle_for_s()
        wait_s = ENDED_S - idle_s + 0.05 if patient and idle_s < ENDED_S else None
        if wait_s is not None and content.kind.is_packed:
            return wait_s
        await content.load(0, HEAD_BYTES)
        source.note_damage()
        for known in reversed(self._like(content, own)):
            if await self._compare(known, content, is_own=True) is not None:
                _resume(source, known)
                return None
        others = self._like(content, self._may_be_of(source, is_packed=content.kind.is_packed))
        if wait_s is not None and others:
            return wait_s
        if patient and idle_s < MOST_PATIENT_S and any(self._memory.is_being_read(known) for known in others):
            return UNDECIDED_S
        best: tuple[Known, Checkpoint] | None = None
        for known in others:
            checkpoint = await self._compare(known, content)
            if checkpoint is not None and (best is None or checkpoint.offset >= best[1].offset):
                best = known, checkpoint
        if best is None:
            source.go_on(Checkpoint())
            source.id = self._memory.new_id()
        elif patient and (self._memory.has_moved_on(best[0]) or not self._memory.is_accounted_for(*best)):
            return UNDECIDED_S  # while this was unpacked, or it is parsed still
        else:
            self._memory.take_over(source, *best)
        return None

    def _may_be_of(self, source: FileSource, *, is_packed: bool) -> Iterable[Known]:
        """Return what it may be made of. What is not packed is a log: another that only begins alike is none of it."""
        return self._memory.everything() if is_packed else (known for known, _ in self._memory.originals(source))

    def _resume_sealed(self, source: FileSource, content: Unpacked, own: list[Known]) -> bool:
        """Go on after an archive that was read to its end and is the same still; it need not be unpacked."""
        for known in own:
            seal, made = self._seals.get(known.row.id, (b"", 0))
            if seal == content.seal():
                content.skip(made)
                _resume(source, known)
                return True
        return False

    def _like(self, content: Unpacked, everything: Iterable[Known]) -> list[Known]:
        """Return the files that begin like this one, those that were read least first: it is unpacked but once."""
        head = content.read(0, FINGERPRINT_BYTES)
        digests: dict[int, bytes] = {}
        found = {}
        for known in everything:
            checkpoint = known.row.checkpoint
            length = checkpoint.fingerprint_length
            if not checkpoint.offset or not length or length > len(head):
                continue
            if length not in digests:
                digests[length] = digest(head[:length])
            if digests[length] == checkpoint.fingerprint:
                found[known.row.id] = known
        return sorted(found.values(), key=lambda known: known.row.checkpoint.offset)

    async def _compare(self, known: Known, content: Unpacked, *, is_own: bool = False) -> Checkpoint | None:
        """Return up to where an archive holds what was read of a file that begins alike; None if it does not."""
        checkpoint = known.row.checkpoint
        content.let_go(checkpoint.offset)
        await content.load(checkpoint.offset - checkpoint.marker_length, checkpoint.marker_length)
        if content.is_at_end and content.size() < checkpoint.offset:
            return await self._compare_less(known, content)
        if content.is_stale or not ends_alike(checkpoint, content.read):
            return None
        if known.is_telling or is_own:
            return checkpoint
        return checkpoint if self._is_all_of(known, content) else None

    async def _compare_less(self, known: Known, content: Unpacked) -> Checkpoint | None:
        """It is less than was read: made of a copy, and the original went on; or another that begins alike."""
        size = content.size()
        places = [offset for offset, _ in known.trail if offset <= size]
        if not known.is_telling or not places:
            return None
        first = max(0, places[-1] - MARKER_BYTES)
        content.let_go(places[-1])
        await content.load(first, size - first)
        return content.checkpoint(size, b"") if known.holds_all_of(content.read, size) else None

    def _is_all_of(self, known: Known, content: Unpacked) -> bool:
        """Tell whether a short file that begins alike is the one: it is gone, and no other archive was made of it."""
        offset = known.row.checkpoint.offset
        is_enough = offset >= MARKER_BYTES or (content.is_at_end and content.size() == offset)
        return is_enough and self._memory.is_gone(known) and not self._memory.is_claimed(known)

    def is_noted(self, source: FileSource) -> bool:
        """Tell whether the ledger knows that this archive was read to its end."""
        return source.id in self._seals

    def note_read(self, source: FileSource) -> tuple[SourceRow, Seal] | None:
        """Return what the ledger is to know of an archive that was read to its end: it is not unpacked again then."""
        content = source.unpacked
        if content is None or not content.is_sealed or self.is_noted(source):
            return None
        if source.committed.offset < content.size():
            return None
        self._seals[source.id] = content.seal(), content.size()
        return source.row(), self._seals[source.id]


def _resume(source: FileSource, known: Known) -> None:
    source.id, source.name = known.row.id, known.row.name
    source.go_on(known.row.checkpoint)
