"""The streams of all sources: which snapshot belongs to where a source stands, and which generation goes on from it.

The current one does, unless it refuses the snapshot: then the generation that made it keeps the source, until that ends
or another current one opens it. A stream is fed one piece after the other.
"""

from msgspec import Struct
from msgspec.structs import replace

from hostd import events
from hostd.errors import NotKeptError
from hostd.pipeline.commit import Committer
from hostd.pipeline.feed import Feeding, RefusedError, before_of
from hostd.pipeline.framing import Cut
from hostd.pipeline.ledger import StreamState
from hostd.pipeline.ledger.rows import Copy
from hostd.pipeline.ledger.streams import StreamStates
from hostd.pipeline.narrow import Point
from hostd.pipeline.parse import Fallback, NotServedError
from hostd.pipeline.serving import Catalog, Generation, Keeper
from hostd.pipeline.sources.file import FileSource
from hostd.workers.batch import BEFORE_BYTES, Piece, Yield
from hostd.workers.pool import Pool

MAX_ORIGIN_BYTES = 4 << 20
"""How far back a stream's last record is looked for; also what is read again for it."""

KEPT_BYTES = 8 << 10
"""How large the snapshots of a source may be that stay in memory while it is idle."""


class StuckError(Exception):
    """No generation can go on with a stream, for now."""


class _Entry(Struct):
    """A source's stream. `number` is the ledger's for the source that it was looked up for.

    `after` is the state after the piece under way. `refused_by` is the generation that did not open the snapshot, and
    `waits` says why nobody goes on.
    """

    number: int
    state: StreamState | None
    taken_over: int | None = None
    after: StreamState | None = None
    refused_by: int | None = None
    refusal: str = ""
    waits: str = ""


class Streams:
    """`states` is the ledger's account of them, `recall` comes first where it is not empty."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        pool: Pool,
        committer: Committer,
        states: StreamStates,
        keeper: Keeper | None = None,
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self._committer = committer
        self._states = states
        self._keeper = keeper
        self._unended: set[int] = set()
        self._entries: dict[FileSource, _Entry] = {}

    async def recall(self) -> None:
        """Read which streams an earlier daemon left open."""
        self._unended = await self._committer.in_thread(self._states.unended)

    async def note_copy(self, number: int) -> None:
        """Take note of a source that the ledger has handed a stream on to: it is to be told when its file ends."""
        if await self._committer.in_thread(self._states.is_unended, number):
            self._unended.add(number)

    def concern(self, source: FileSource, generation: Generation) -> bool:
        """Tell whether a source is a stream: by what serves it now, or by what has served it."""
        return generation.framing.kind == "stream" or source.id in self._unended

    def has_ended(self, source: FileSource) -> bool:
        """Tell whether a source's stream, if it is one, has been told that it ends."""
        return source.id not in self._unended

    def why_waiting(self, source: FileSource) -> str:
        """Return why nobody goes on with a source's stream, or nothing."""
        entry = self._entries.get(source)
        return entry.waits if entry is not None and entry.number == source.id else ""

    def kept_by(self, source: FileSource) -> int | None:
        """Return the generation that keeps a source, instead of the current one."""
        entry = self._entries.get(source)
        if entry is None or entry.state is None or entry.refused_by is None or entry.waits:
            return None
        return entry.state.generation

    async def serving(self, source: FileSource, current: Generation) -> Generation | None:
        """Return the generation that the source's next piece goes to, None when it has to wait.

        Where the source was parsed otherwise by now, its stream is given up.
        """
        entry = await self._entry(source, current)
        state = entry.state
        if state is None or state.generation == current.number:
            if state is not None and entry.refused_by is not None:
                self._leave(source, state)  # what had kept it is current again
            entry.refused_by, entry.waits = None, ""
            return current
        if current.framing.kind != "stream" and entry.refused_by != current.number:
            entry.refused_by = current.number
            entry.refusal = f"it is no stream: its framing is {current.framing.kind!r}"
            entry.waits = ""
            return await self._keep(source, entry, state)
        if entry.refused_by != current.number:
            return current  # whatever has refused it before
        if entry.waits:
            return None
        kept = self._keeper.kept(state.plugin, state.generation) if self._keeper else None
        return kept or await self._keep(source, entry, state)

    async def feed(
        self, source: FileSource, cut: Cut, generation: Generation, fallback: Fallback
    ) -> tuple[Generation, Yield, Piece]:
        """Feed a piece to what `serving` said; return who did, what came of it, and the piece.

        Raises as `Feeding.run` does, but NotServedError for a snapshot that is refused, for which `serving` says
        another from now on; and StuckError for one that not even its own generation opens.
        """
        entry = self._entries[source]
        state, plugin = entry.state, generation.plugin
        before = state.state if state is not None else None
        length = min(cut.start, len(before or b""), BEFORE_BYTES)
        earlier = before_of(await source.read_loaded(cut.start - length, length), before)
        piece = Piece(source.name, cut.start, b"", cut.data, source.id, before, earlier, cut.final)
        keeps = entry.refused_by is not None and state is not None and generation.number == state.generation

        def current() -> Generation | None:
            if keeps and state is not None and self._keeper is not None:
                return self._keeper.kept(plugin, state.generation)
            return self._catalog.current.get(plugin)

        feeding = Feeding(
            piece,
            Point(state.origin_offset, state.origin_state) if state is not None else None,
            source.read_loaded,
            generation.framing,
            current,
            self._pool,
            None if keeps else fallback,
        )
        try:
            fed = await feeding.run()
        except RefusedError as refused:
            await self._refused(source, entry, refused)
            raise NotServedError from refused
        origin = fed.origin
        if cut.end - origin.position > MAX_ORIGIN_BYTES:
            origin = Point(piece.offset, piece.state)
        assert fed.result.state is not None
        entry.after = StreamState(
            plugin, fed.generation.number, cut.end, fed.result.state, cut.final, origin.position, origin.state
        )
        return fed.generation, fed.result, piece

    def accept(self, source: FileSource) -> tuple[StreamState | None, int | None]:
        """Take note that the result of the piece under way is to be committed; return what goes with it."""
        entry = self._entries[source]
        before, entry.state, entry.after = entry.state, entry.after, None
        state, taken_over, entry.taken_over = entry.state, entry.taken_over, None
        assert state is not None
        if before is not None and before.generation != state.generation:
            events.emit(
                events.STREAM_HANDED_OVER,
                source=source.name,
                plugin=state.plugin,
                generation=state.generation,
                took_over_from=before.generation,
                offset=before.offset,
            )
            self._leave(source, before)
            entry.refused_by = None
        if state.ended:
            self._unended.discard(entry.number)
            events.emit(
                events.STREAM_ENDED,
                source=source.name,
                plugin=state.plugin,
                generation=state.generation,
                offset=state.offset,
            )
            self._leave(source, state)
        else:
            self._unended.add(entry.number)
        return state, taken_over

    def forget(self, source: FileSource) -> None:
        """Drop a source that is not read any more; its stream is in the ledger."""
        entry = self._entries.pop(source, None)
        if entry is not None and entry.state is not None:
            self._leave(source, entry.state)

    def rest(self, source: FileSource) -> None:
        """Drop a large snapshot of a source that has no more to read for now; the ledger has it too."""
        entry = self._entries.get(source)
        if entry is None or entry.state is None or entry.refused_by is not None or entry.taken_over is not None:
            return
        if len(entry.state.state) + len(entry.state.origin_state or b"") > KEPT_BYTES:
            del self._entries[source]

    def try_again(self) -> None:
        """Offer what waits to the generations that have refused it, or are gone, once more."""
        for entry in self._entries.values():
            if entry.waits:
                entry.refused_by, entry.waits = None, ""

    async def _entry(self, source: FileSource, current: Generation) -> _Entry:
        entry = self._entries.get(source)
        if entry is None or entry.number != source.id:
            if entry is not None and entry.state is not None:
                self._leave(source, entry.state)  # the file was rewritten
                self._unended.discard(entry.number)
            entry = self._entries[source] = await self._look_up(source)
        state = entry.state
        if state is not None and (state.plugin != current.plugin or state.offset != source.reached.offset):
            self._leave(source, state)
            self._unended.discard(source.id)
            entry.state, entry.refused_by, entry.waits = None, None, ""
        return entry

    async def _look_up(self, source: FileSource) -> _Entry:
        if source.reached.offset == 0:
            return _Entry(source.id, None)
        state = await self._load(source.id)
        if state is None and source.copy_of is not None:
            return await self._look_up_original(source, source.copy_of)
        return _Entry(source.id, state)

    async def _look_up_original(self, source: FileSource, copy: Copy) -> _Entry:
        """Look up what the ledger is about to hand on to a copy, as `StreamStates.hand_on` does."""
        state = await self._load(copy.original)
        if state is None or state.offset != source.reached.offset:
            return _Entry(source.id, None)
        if not copy.is_left:
            return _Entry(source.id, replace(state, ended=True))
        self._unended.discard(copy.original)
        self._unended.add(source.id)
        return _Entry(source.id, replace(state, ended=False), copy.original)

    async def _load(self, number: int) -> StreamState | None:
        await self._committer.flush()  # the last state may be on its way there
        return await self._committer.in_thread(self._states.of, number)

    async def _refused(self, source: FileSource, entry: _Entry, refused: RefusedError) -> None:
        """A snapshot was not opened: by another generation than the one that made it, or not even by that."""
        state, generation = entry.state, refused.generation
        if state is None or state.generation == generation.number:
            raise StuckError(f"generation {generation.number} does not open it: {refused.reason}") from refused
        entry.refused_by, entry.refusal = generation.number, refused.reason
        await self._keep(source, entry, state)

    async def _keep(self, source: FileSource, entry: _Entry, state: StreamState) -> Generation | None:
        """Have the generation that made a snapshot keep the source. Says so; returns None when it is gone."""
        current = self._catalog.current.get(state.plugin)
        try:
            if self._keeper is None:
                raise NotKeptError("nothing is kept here")
            kept = await self._keeper.keep(state.plugin, state.generation, source)
        except NotKeptError as error:
            entry.waits = (
                f"generation {entry.refused_by} does not open the snapshot of generation {state.generation}"
                f" ({entry.refusal}), and that one is gone: {error}"
            )
            events.emit(
                events.STREAM_WAITING, source=source.name, plugin=state.plugin, offset=state.offset, reason=entry.waits
            )
            return None
        entry.waits = ""
        if current is not None and current.number == entry.refused_by:
            events.emit(
                events.STREAM_KEPT,
                source=source.name,
                plugin=state.plugin,
                generation=state.generation,
                refused_by=entry.refused_by,
                offset=state.offset,
                reason=entry.refusal,
            )
        return kept

    def _leave(self, source: FileSource, state: StreamState) -> None:
        if self._keeper is not None:
            self._keeper.leave(state.plugin, state.generation, source)
