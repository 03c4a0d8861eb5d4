"""Every plugin that may take a source, best first, and why. Pure: the order of the plugins is nothing.

The one function that decides, for the daemon, `hostd parse` and `hostd identify` alike.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum

from msgspec import Struct

from contract.manifest import Manifest
from hostd.pipeline.detection.evidence import Evidence, gather, names_of
from hostd.pipeline.detection.head import Head
from hostd.pipeline.detection.memory import Memory

FEW = 0.1
"""A pattern that fewer of the lines have than this was found by chance, as far as can be told."""
HALF = 0.5
"""A pattern that fewer lines have than half of those that another has is not what the source is made of."""
QUARTER = 0.25
"""The same of a fallback, whose pattern is general: most of what begins a record for it is then none of the special."""
ALIKE = 0.8
"""How many of the lines must look like a plugin's samples, for it to take a source by them alone."""
NEAR = 0.3
MOST_NEAR = 3


class Grade(IntEnum):
    """How good a reason is; a better one wins, whatever the priorities are."""

    RARELY = 1
    """Its criteria hold, but few of the lines have its pattern."""
    FALLBACK = 2
    """It takes what nothing else takes."""
    SAMPLES = 3
    """It gives no criterion that holds, but the lines look like its samples."""
    CRITERIA = 4
    """Every criterion that it gives holds."""


class Candidate(Struct, frozen=True):
    """A plugin that may take the source. `why` is short, for a log; `reasons` are for who wants to know."""

    plugin: str
    grade: Grade
    declared: tuple[int, int, int, bool]
    """By what it is ranked first: grade, priority, how many criteria it has, and whether one is on the content."""
    soft: tuple[int, int]
    """By what ties are broken: tenths of the lines that have its pattern, and that look like its samples."""
    why: str
    reasons: tuple[str, ...]


class Near(Struct, frozen=True):
    """A plugin that does not take the source, but was close to it, and what is missing."""

    plugin: str
    missing: str


class Ranking(Struct, frozen=True):
    """The candidates, best first, and the plugins that came close."""

    candidates: tuple[Candidate, ...]
    near: tuple[Near, ...]

    @property
    def best(self) -> tuple[Candidate, ...]:
        """The candidates that nothing distinguishes from the first."""
        first = self.candidates[:1]
        return tuple(
            each for each in self.candidates if (each.declared, each.soft) == (first[0].declared, first[0].soft)
        )

    @property
    def equals(self) -> frozenset[str]:
        """The plugins whose criteria are as good as those of the first, ties not broken yet."""
        return frozenset(each.plugin for each in self.candidates if each.declared == self.candidates[0].declared)


def rank(
    name: str,
    data: bytes,
    manifests: Mapping[str, Manifest] | Iterable[Manifest],
    memory: Memory | None = None,
    media_type: str = "",
) -> Ranking:
    """Compare a source of this name that begins with `data`, and declares a media type or none, with every manifest.

    A `memory` of the source saves comparing it with those that did not accept it the last time, and changes nothing.
    """
    if not isinstance(manifests, Mapping):
        manifests = {manifest.name: manifest for manifest in manifests}
    called = f"{media_type}:{name}"
    asked = memory.in_question(called, data, manifests) if memory is not None else None
    ranking = _rank(name, data, asked, media_type) if asked is not None else None
    if ranking is None or not ranking.candidates or ranking.candidates[0].grade is not Grade.CRITERIA:
        # The others may still take it by their samples, or be near.
        ranking = _rank(name, data, manifests.values(), media_type)
    if memory is not None:
        accepted = (each.plugin for each in ranking.candidates if each.grade is not Grade.SAMPLES)
        memory.note(called, data, manifests, accepted)
    return ranking


def _rank(name: str, data: bytes, manifests: Iterable[Manifest], media_type: str) -> Ranking:
    head, names = Head(data), names_of(name)
    found = [gather(manifest, names, head, media_type) for manifest in manifests]
    accepted = [evidence for evidence in found if evidence.accepted]
    special = [evidence for evidence in accepted if not evidence.manifest.accepts.fallback]
    most = max((evidence.line_share or 0.0 for evidence in special), default=0.0)
    general = max((evidence.lines or 0 for evidence in accepted if evidence.manifest.accepts.fallback), default=0)
    graded = [(_grade(evidence, most, general), evidence) for evidence in accepted]
    if not any(grade is Grade.CRITERIA for grade, _ in graded):
        graded += [(Grade.SAMPLES, each) for each in found if _is_alike(each)]
    tied = _tied(graded)
    candidates = [_candidate(grade, evidence, tied) for grade, evidence in graded]
    candidates.sort(key=lambda each: each.plugin)
    candidates.sort(key=lambda each: (each.declared, each.soft), reverse=True)
    return Ranking(tuple(candidates), () if candidates else _near(found))


def _grade(evidence: Evidence, most: float, general: int) -> Grade:
    share = evidence.line_share
    if share is not None and (share < FEW or share < most * HALF or (evidence.lines or 0) < general * QUARTER):
        return Grade.RARELY
    return Grade.FALLBACK if evidence.manifest.accepts.fallback else Grade.CRITERIA


def _is_alike(evidence: Evidence) -> bool:
    """Tell whether a plugin takes a source by its samples: what its own pattern does not find, they do not either."""
    return not evidence.accepted and {*evidence.fails} <= {"name"} and evidence.sample_share >= ALIKE


def _declared(grade: Grade, evidence: Evidence) -> tuple[int, int, int, bool]:
    has_content = evidence.has_content and grade is not Grade.SAMPLES
    return grade, evidence.manifest.accepts.priority, len(evidence.holds), has_content


def _tied(graded: list[tuple[Grade, Evidence]]) -> frozenset[str]:
    """Return the plugins of which the samples are to decide; to compare those of all would cost too much."""
    ranks = [(_declared(grade, evidence), evidence.manifest.name) for grade, evidence in graded]
    first = max((declared for declared, _ in ranks), default=None)
    best = frozenset(name for declared, name in ranks if declared == first)
    return best if len(best) > 1 else frozenset()


def _candidate(grade: Grade, evidence: Evidence, tied: frozenset[str]) -> Candidate:
    manifest, share = evidence.manifest, evidence.line_share
    by_samples = grade is Grade.SAMPLES
    samples = evidence.sample_share if by_samples or manifest.name in tied else 0.0
    return Candidate(
        manifest.name,
        grade,
        _declared(grade, evidence),
        (round(10 * (share if share is not None else 1.0)), round(10 * samples)),
        "samples" if by_samples else " and ".join(evidence.holds),
        tuple(_reasons(grade, evidence, samples)),
    )


def _reasons(grade: Grade, evidence: Evidence, samples: float) -> Iterable[str]:
    head = evidence.head_read
    if evidence.name:
        yield f"its name fits {evidence.name}"
    if evidence.media_type:
        yield f"it is declared to be {evidence.media_type}"
    if evidence.head:
        yield "its first bytes have the pattern `head`"
    if evidence.lines:
        yield f"{evidence.lines} of its first {len(head.lines)} lines have the pattern `lines`"
    if samples:
        yield f"{round(samples * len(head.lines))} of its first {len(head.lines)} lines look like the samples"
    if grade is Grade.RARELY:
        yield "too few lines for a better rank"
    if grade is Grade.FALLBACK:
        yield "a fallback, for what nothing else takes"
    yield f"priority {evidence.manifest.accepts.priority}"


def _near(found: list[Evidence]) -> tuple[Near, ...]:
    """Return the plugins that came closest to taking a source that none takes."""
    near: list[tuple[float, str, str]] = []
    for evidence in found:
        name, fails = evidence.manifest.name, evidence.fails
        if evidence.holds and fails:
            near.append((2.0, name, f"its {' and '.join(fails)} {'do' if 'lines' in fails else 'does'} not fit"))
        elif evidence.holds:
            near.append((1.5, name, evidence.objection))
        elif {*evidence.fails} <= {"name"} and evidence.sample_share >= NEAR:
            near.append((evidence.sample_share, name, "only some of its lines look like the samples"))
    near.sort(key=lambda each: (-each[0], each[1]))
    return tuple(Near(name, missing) for _, name, missing in near[:MOST_NEAR])
