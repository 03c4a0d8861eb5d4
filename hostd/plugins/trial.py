"""A candidate and the version in service parse the same recent input, aside, and what comes of it is compared.

A record that the version in service parses and the candidate does not is a regression; one that has other keys is
only a change. Pieces that come out alike cost one parse each; only those that differ are cut down to the records.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence, Set
from itertools import islice

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from contract.framing import Framing
from hostd import clock, events
from hostd.config import Trial
from hostd.errors import Refusal, Stage, WorkerLostError
from hostd.plugins.generation import Generation, State
from hostd.workers.batch import Batch, DeadLetter, UnfedError, Yield
from hostd.workers.pool import Crew
from hostd.workers.questions import GenerationBrokenError

SHOWN = 3
SHOWN_BYTES = 160
MAX_COMPARED_BYTES = 4 << 20
MAX_INNOCENT_LOSSES = 5
INNOCENT_PAUSE_S = 0.02

_RECORDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Difference(Struct, frozen=True):
    """One record that the candidate does not parse, or parses otherwise."""

    source: str
    offset: int
    raw: bytes
    what: str

    def __str__(self) -> str:
        text = self.raw[:SHOWN_BYTES].decode("utf-8", "backslashreplace").rstrip("\r\n")
        return f"{self.source} at {self.offset}: {text!r} {self.what}"


class Verdict(Struct):
    """What a trial found. `records` is how many the version in service makes of the input.

    `lost` says that the candidate lost its worker, which ends a trial: each further loss could take as long as a batch
    may. `refused` has, for each piece that was skipped, why a stream could not be opened with its snapshot.
    """

    records: int = 0
    lost: bool = False
    refused: list[str] = field(default_factory=list)
    regressions: list[Difference] = field(default_factory=list)
    changes: list[Difference] = field(default_factory=list)

    def describe(self, differences: Sequence[Difference]) -> str:
        """Say what the first few differences are."""
        shown = "; ".join(map(str, differences[:SHOWN]))
        return f"{shown}; and more" if len(differences) > SHOWN else shown


async def judge(generation: Generation, present: Generation, pieces: Sequence[Batch], settings: Trial) -> None:
    """Compare a candidate with what is in service, and say so. Raises Refusal, and the candidate is refused then."""
    began = clock.monotonic()
    if settings.mode == "off" or not pieces or generation.framing != present.framing:
        return  # nothing to compare, or other records
    try:
        verdict = await compare(generation.crew, present.crew, generation.framing, pieces, settings.regressions)
    except _CandidateUntriedError as error:
        generation.advance(State.REFUSED)
        await generation.crew.kill()
        raise Refusal(
            Stage.TRIED,
            generation.artifact.display,
            f"could not be tried with recent input: {error}",
            "that is no fault of its own, so it is tried again by itself",
            transient=True,
        ) from error
    if verdict is None:
        return
    who = {"plugin": generation.plugin, "generation": generation.number, "compared_with": present.number}
    events.emit(
        events.GENERATION_TRIED,
        **who,
        records=verdict.records,
        regressions=len(verdict.regressions),
        changes=len(verdict.changes),
        ms=clock.milliseconds_since(began),
    )
    if verdict.refused:
        events.emit(events.TRIAL_SKIPPED, **who, pieces=len(verdict.refused), of=len(pieces), reason=verdict.refused[0])
    failed = verdict.lost or len(verdict.regressions) > settings.regressions
    if failed and settings.mode == "refuse":
        generation.advance(State.REFUSED)
        await generation.crew.kill()
        raise Refusal(
            Stage.TRIED,
            generation.artifact.display,
            f"no longer parses what generation {present.number} ({present.version}) does:"
            f" {verdict.describe(verdict.regressions)}",
            'mend it; or allow it: [plugins.trial] regressions, or mode = "warn"',
        )
    differences = verdict.regressions if failed else verdict.changes
    if differences:
        events.emit(events.TRIAL_DIFFERED, **who, differences=verdict.describe(differences))


async def compare(
    candidate: Crew, present: Crew, framing: Framing, pieces: Sequence[Batch], most: int
) -> Verdict | None:
    """Have both parse `pieces`; stop after more than `most` regressions, but show a few.

    Returns None when what is in service cannot tell: it was lost itself. Neither crew waits for a slot of the pool:
    a swap must not queue behind the data.
    """
    trial = _Trial(candidate, present, framing, max(most + 1, SHOWN + 1))
    under_way: deque[asyncio.Task[tuple[Yield, Yield | WorkerLostError]]] = deque()
    remaining = iter(pieces)
    try:
        for piece in pieces:
            # The workers parse the next one while this one is looked at.
            under_way.extend(asyncio.create_task(trial.both(each)) for each in islice(remaining, 2 - len(under_way)))
            await trial.compare(piece, under_way.popleft())
            if trial.is_decided:
                break
    except _PresentLostError:
        return None
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    return trial.verdict


class _PresentLostError(Exception):
    """The version in service could not parse what it has parsed before."""


class _CandidateUntriedError(Exception):
    """The candidate had no chance: its zygote ended, or the system gives no process."""


class _Trial(Struct, frozen=True):
    candidate: Crew
    present: Crew
    framing: Framing
    enough: int
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def is_decided(self) -> bool:
        return self.verdict.lost or len(self.verdict.regressions) >= self.enough

    async def compare(self, piece: Batch, parsing: Awaitable[tuple[Yield, Yield | WorkerLostError]]) -> None:
        try:
            expected, found = await parsing
        except UnfedError as error:
            self.verdict.refused.append(f"{piece.source} at {piece.offset}: {error.reason}")
            return
        self.verdict.records += expected.records
        if isinstance(found, WorkerLostError):
            self._lose(piece, found)
        elif _is_worse(expected, found):
            await self._cut_down(piece, expected, found)
        else:
            self._note_changes(piece, expected, found)

    async def both(self, piece: Batch) -> tuple[Yield, Yield | WorkerLostError]:
        expected, found = await asyncio.gather(_ask(self.present, piece), _ask(self.candidate, piece))
        if isinstance(expected, WorkerLostError):
            raise _PresentLostError from expected
        if isinstance(found, WorkerLostError) and found.innocent:
            raise _CandidateUntriedError(found.reason)
        return expected, found

    async def _cut_down(self, piece: Batch, expected: Yield, found: Yield) -> None:
        """Find the records of `piece` that the candidate is worse at."""
        starts = self.framing.starts(piece.data)
        if len(starts) <= 1:
            if found.dead and not expected.dead:
                self._regress(piece, f"is not parsed: {found.dead[0].reason}")
            elif found.records < expected.records:
                self._regress(piece, f"yields {found.records or 'no'} record{'s' if found.records > 1 else ''}")
            return  # else both fail it, each in words of its own
        middle = starts[len(starts) // 2]
        for start, end in ((0, middle), (middle, len(piece.data))):
            if self.is_decided:
                return
            part = replace(piece, offset=piece.offset + start, data=piece.data[start:end])
            expected, outcome = await self.both(part)
            if isinstance(outcome, WorkerLostError):
                self._lose(part, outcome)
            elif _is_worse(expected, outcome):
                await self._cut_down(part, expected, outcome)

    def _lose(self, piece: Batch, lost: WorkerLostError) -> None:
        self.verdict.lost = True
        self._regress(piece, f"loses its worker: {lost.reason}")

    def _regress(self, piece: Batch, what: str) -> None:
        self.verdict.regressions.append(Difference(piece.source, piece.offset, piece.data, what))

    def _note_changes(self, piece: Batch, expected: Yield, found: Yield) -> None:
        if len(self.verdict.changes) > SHOWN or max(len(expected.lines), len(found.lines)) > MAX_COMPARED_BYTES:
            return
        if expected.lines == found.lines:
            return
        befores, afters = _keys(expected.lines), _keys(found.lines)
        if befores == afters:
            return
        starts = [*self.framing.starts(piece.data), len(piece.data)]
        if len(starts) - 1 != len(befores):
            starts = []  # which record is made of which input cannot be told
        for number, (before, after) in enumerate(zip(befores, afters, strict=False)):
            if before != after:
                start, end = starts[number : number + 2] or (0, len(piece.data))
                raw = piece.data[start:end] if starts else bytes(expected.lines).splitlines()[number]
                what = _other_keys(before, after)
                self.verdict.changes.append(Difference(piece.source, piece.offset + start, raw, what))
                if len(self.verdict.changes) > SHOWN:
                    return


async def _ask(crew: Crew, piece: Batch) -> Yield | WorkerLostError:
    """Have a crew parse a piece; what is lost through no fault of its own is tried again.

    Raises UnfedError for a stream that is not opened with its snapshot; what one cannot be fed is a dead letter.
    """
    for losses in range(1, MAX_INNOCENT_LOSSES + 1):
        try:
            return await crew.parse(piece, forks=False)
        except UnfedError as error:
            if error.at_open:
                raise
            return Yield(0, b"", (DeadLetter(piece.offset, piece.data, error.reason, error.traceback),))
        except WorkerLostError as error:
            lost = error
        except GenerationBrokenError as error:
            return WorkerLostError(f"cannot be started again: {error}")
        if not lost.innocent:
            break
        await asyncio.sleep(INNOCENT_PAUSE_S * losses)
    return lost


def _is_worse(expected: Yield, found: Yield) -> bool:
    """Tell whether it is worth looking closer: how a version marks what it rejects is its own affair."""
    known = {(letter.offset, len(letter.raw)) for letter in expected.dead}
    news = [letter for letter in found.dead if (letter.offset, len(letter.raw)) not in known]
    return bool(news) or found.records < expected.records


def _other_keys(old: Set[str], new: Set[str]) -> str:
    """Say how the keys of two records differ."""
    parts = [f"no longer has {', '.join(sorted(old - new))}"] if old - new else []
    parts += [f"also has {', '.join(sorted(new - old))}"] if new - old else []
    return " and ".join(parts)


def _keys(lines: bytes | bytearray) -> list[Set[str]]:
    """Return the keys of each record; values are not looked into, of which there may be many."""
    try:
        return [record.keys() for record in _RECORDS.decode_lines(lines)]
    except msgspec.DecodeError:  # a plugin made them: anything is possible
        return []
