"""Some dead letters of one plugin, one after another through one generation, and what became of them."""

import asyncio
from collections.abc import Callable

from msgspec import Struct, field
from msgspec.structs import replace

from hostd import clock, events
from hostd.errors import WorkerLostError
from hostd.pipeline.commit import Committer, Entry
from hostd.pipeline.faults import explain
from hostd.pipeline.framing import declared
from hostd.pipeline.ledger import Letter, Replay
from hostd.pipeline.recover import FindLive, FindRow, StaysError, batch_of
from hostd.pipeline.runs import fitted, joined
from hostd.pipeline.said import log_said
from hostd.pipeline.serving import Generation
from hostd.workers.batch import Batch, DeadLetter, Yield
from hostd.workers.pool import Pool
from hostd.workers.questions import GenerationBrokenError

UNCOMMITTED_BYTES = 1 << 20
"""How much may wait for its commit before more is parsed."""
GROUP_LETTERS = 50
GROUP_S = 0.2
"""How many letters gather for one commit, and for how long: one each would cost more than to parse them."""
GIVE_WAY_S = 0.01
GIVE_WAY_TIMES = 50
"""While live batches wait for a worker, letters wait too, but not for ever: half a second for each run of them."""
LOSS_PAUSE_S = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
"""How long to pause after the first, the second, … loss of a worker in a row: each costs a fork, and a line of log."""


class PostponedError(Exception):
    """No more letters can be parsed now, and what is left stays as it is. `may_pass` says that waiting may help."""

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        self.may_pass = may_pass
        super().__init__(reason)


class Tally(Struct):
    """What became of letters: dead no more, dead for a new reason, or kept untried. `reason` is the first of these."""

    letters: int = 0
    records: int = 0
    rejected: int = 0
    kept: int = 0
    reason: str | None = None
    postponed: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count what another tally has counted."""
        self.letters += other.letters
        self.records += other.records
        self.rejected += other.rejected
        self.kept += other.kept
        self.reason = self.reason or other.reason


class Lane:
    """Takes letters to a generation as long as `may_go_on()`. `crew` is its own, for the caller to kill."""

    def __init__(
        self,
        *,
        generation: Generation,
        pool: Pool,
        committer: Committer,
        find_row: FindRow,
        find_live: FindLive,
        may_go_on: Callable[[], bool],
    ) -> None:
        self.generation = generation
        self.crew = generation.crew.apart()
        self.tally = Tally()
        self._pool = pool
        self._committer = committer
        self._find_row = find_row
        self._find_live = find_live
        self._may_go_on = may_go_on
        self._framing = declared(generation.manifest).as_text()
        self._uncommitted = 0
        self._gathered: list[Entry] = []
        self._gathered_since = 0.0
        self._waiting = 0
        self._none_waiting = asyncio.Event()
        self._none_waiting.set()
        self._losses = 0
        self._is_untaken = False
        """Whether something came of letters that no sink took any more when it was to be committed."""

    async def take(self, letters: list[Letter]) -> None:
        """Parse letters that lie side by side, and have committed what comes of it, soon. Raises PostponedError."""
        try:
            first = await batch_of(letters[0], self.generation, self._find_row, self._find_live)
        except StaysError as stays:
            if len(letters) == 1:
                self._submit(letters, Yield(0, b""), note=str(stays))
                return
            await self._each(letters)
            return
        except OSError as error:  # no descriptor is left, or its source cannot be read now
            raise PostponedError(explain(error), may_pass=True) from error
        data = first.data if len(letters) == 1 else joined(letters)
        result = await self._parse(Batch(first.source, first.offset, first.header, data))
        if isinstance(result, Yield):
            fit = replace(result, dead=fitted(result.dead, letters, data))
            self._submit(letters, fit, header=first.header)
        elif len(letters) > 1:
            await self._each(letters)
        else:
            dead = DeadLetter(first.offset, data, f"worker lost: {result.reason}", "")
            self._submit(letters, Yield(0, b"", (dead,)), header=first.header)
        if self._uncommitted > UNCOMMITTED_BYTES:
            await self.committed()

    def send(self) -> None:
        """Submit what has gathered, unless no sink takes it any more: its letters stay then. Returns at once."""
        gathered, self._gathered = self._gathered, []
        if gathered and not self._committer.takes(self.generation.plugin):
            self._is_untaken = True
            self._done(len(gathered))
            return
        for entry in gathered:
            self._committer.submit(entry)

    async def committed(self) -> None:
        """Wait until all that came of letters so far is durable. Raises PostponedError when some of it has to wait."""
        self.send()
        await self._none_waiting.wait()
        self._uncommitted = 0
        if self._is_untaken:
            raise self._untaken()

    def say(self, ms: float) -> None:
        """Log what became of the letters, if there were any."""
        tally = self.tally
        if tally.letters or tally.rejected or tally.kept:
            events.emit(
                events.LETTERS_REPLAYED,
                plugin=self.generation.plugin,
                generation=self.generation.number,
                letters=tally.letters,
                records=tally.records,
                rejected=tally.rejected,
                kept=tally.kept,
                reason=tally.reason,
                ms=ms,
            )

    async def _each(self, letters: list[Letter]) -> None:
        for letter in letters:
            await self.take([letter])

    async def _parse(self, batch: Batch) -> Yield | WorkerLostError:
        """Parse a batch, once more if it loses its worker; a second loss is returned. Raises PostponedError."""
        lost: WorkerLostError | None = None
        for _ in range(2):
            await self._give_way()
            try:
                async with self._pool.slots.take():
                    self._check()
                    result = await self.crew.parse(batch)
            except WorkerLostError as error:
                self._check()
                if error.innocent:
                    raise PostponedError(error.reason, may_pass=True) from error
                lost = error
                await asyncio.sleep(LOSS_PAUSE_S[min(self._losses, len(LOSS_PAUSE_S) - 1)])
                self._losses += 1
            except GenerationBrokenError as error:
                self._check()
                raise PostponedError(str(error), may_pass=True) from error
            else:
                self._losses = 0
                self._check()  # what an overtaken generation has made of it does not count
                return result
        assert lost is not None
        return lost

    def _check(self) -> None:
        name = self.generation.plugin
        if not self._may_go_on():
            raise PostponedError(f"generation {self.generation.number} of {name} has been overtaken")
        if not self._committer.takes(name):
            raise self._untaken()

    def _untaken(self) -> PostponedError:
        reason = f"no sink takes records of {self.generation.plugin}; add one, or widen a sink's processors"
        return PostponedError(reason, may_pass=True)

    async def _give_way(self) -> None:
        await asyncio.sleep(0)
        for _ in range(GIVE_WAY_TIMES):
            if not self._pool.slots.is_waited_for:
                return
            await asyncio.sleep(GIVE_WAY_S)

    def _submit(self, letters: list[Letter], result: Yield, *, note: str = "", header: bytes = b"") -> None:
        generation = self.generation
        log_said(letters[0].name, generation, result)
        self._uncommitted += len(result.lines)
        self._waiting += 1
        self._none_waiting.clear()

        def done() -> None:
            generation.records += result.records
            self._tally(letters, result, note)
            self._done(1)

        if not self._gathered:
            self._gathered_since = clock.monotonic()
        self._gathered.append(
            Entry(
                Replay(
                    generation.plugin,
                    generation.number,
                    result.records,
                    result.lines,
                    tuple(letters),
                    result.dead,
                    note,
                    header,
                    self._framing,
                ),
                done,
            )
        )
        if len(self._gathered) >= GROUP_LETTERS or clock.monotonic() - self._gathered_since > GROUP_S:
            self.send()

    def _done(self, count: int) -> None:
        self._waiting -= count
        if not self._waiting:
            self._none_waiting.set()

    def _tally(self, letters: list[Letter], result: Yield, note: str) -> None:
        tally = self.tally
        again = {(dead.offset, len(dead.raw)) for dead in result.dead} & {
            (each.offset, each.length) for each in letters
        }
        tally.records += result.records
        tally.rejected += len(result.dead)
        if note:
            tally.kept += len(letters)
        else:
            tally.letters += len(letters) - len(again)
        if tally.reason is None and (note or result.dead):
            tally.reason = note or result.dead[0].reason
