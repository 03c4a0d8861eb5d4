"""Records to a proposal: expressions, for as long as another one takes more of the records."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contract.context import Context
from contract.declared.fields import as_texts
from contract.declared.processor import module_of
from contract.framing import Framing
from contract.pattern import Pattern, PatternError
from hostd.propose.columns import LOOSE, STRICT, Proposal, begins_like, propose
from hostd.propose.records import Records
from hostd.propose.tokens import separator_of

_MOST_EXPRESSIONS = 5
_MOST_TURNS = 10
_LEAST_SHARE = 0.02
_MORE_WORTH = 1.3
"""An expression for some of the records must tell so much more than one for most of them."""

_NAMED = re.compile(r"\(\?<([^>]+)>|%\{\w+:([^}:]+)")

Read = Callable[[str], dict[str, Any] | None]


@dataclass(slots=True)
class Proposed:
    """What is proposed, ready to be written."""

    start: str | None
    groks: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    head: str = ""


def proposal(found: Records) -> Proposed:
    """Return expressions for most of the records; none when they have nothing in common."""
    firsts = [text.partition("\n")[0] for text in found.texts]
    left = [number for number, first in enumerate(firsts) if not first.startswith("#")]
    comments = len(firsts) - len(left)
    making = _Making(found, firsts, "" if found.start is not None else separator_of([firsts[each] for each in left]))
    for _ in range(_MOST_TURNS):
        if not left or len(making.proposed.groks) >= _MOST_EXPRESSIONS:
            break
        one, taken = making.best(left)
        if one.telling and len(taken) >= (max(2, _LEAST_SHARE * len(firsts)) if making.proposed.groks else 1):
            making.add(one)
        else:  # none that begin like these, and the others may have more in common
            taken = {number for number in left if begins_like(firsts[number], one, making.separator)}
        left = [number for number in left if number not in taken]
    proposed = making.proposed
    if proposed.groks:  # lines that are not here yet may have no more in common than these have
        making.add_general([number for number, first in enumerate(firsts) if not first.startswith("#")])
    if comments and proposed.groks:
        proposed.groks.append("#%{GREEDYDATA:comment}")
    proposed.head = _head(making.heads)
    return proposed


class _Making:
    """A proposal in the making."""

    def __init__(self, found: Records, firsts: list[str], separator: str) -> None:
        self.separator = separator
        self.proposed = Proposed(found.start)
        self.heads: list[str] = []
        self._found = found
        self._firsts = firsts

    def best(self, left: list[int]) -> tuple[Proposal, set[int]]:
        """Return an expression and the records that it takes: most of them, or fewer of which it tells more."""
        general = self._propose(left, STRICT)
        special = self._propose(left, LOOSE)
        taken, taken_by_special = self._taken(general, left), self._taken(special, left)
        if _worth(special, taken_by_special) > _MORE_WORTH * _worth(general, taken):
            return special, taken_by_special
        return general, taken

    def add(self, one: Proposal) -> None:
        """Take an expression into the proposal."""
        self.proposed.groks.append(one.grok)
        self.proposed.fields = _agreed(self.proposed.fields, one)
        self.heads.append(one.head)

    def add_general(self, numbers: list[int]) -> None:
        """Add an expression for what all of the records have in common, if that is anything."""
        general = self._propose(numbers, STRICT)
        if general.telling and general.grok not in self.proposed.groks:
            before = len(self._taken_by(self.proposed.groks, self.proposed.fields, numbers))
            groks, fields = [*self.proposed.groks, general.grok], _agreed(self.proposed.fields, general)
            if len(self._taken_by(groks, fields, numbers)) >= before:
                self.add(general)

    def _propose(self, numbers: list[int], enough: float) -> Proposal:
        lines = [self._firsts[number] for number in numbers]
        return propose(lines, self.separator, enough, goes_on=self._found.start is not None)

    def _taken(self, one: Proposal, numbers: list[int]) -> set[int]:
        if not one.telling:
            return set()
        return self._taken_by([one.grok], _agreed(self.proposed.fields, one), numbers)

    def _taken_by(self, groks: list[str], fields: dict[str, Any], numbers: list[int]) -> set[int]:
        read = reader(groks, fields, self._found.start)
        return {number for number in numbers if read(self._found.texts[number]) is not None}


def _worth(one: Proposal, taken: set[int]) -> int:
    return len(taken) * (1 + one.telling)


def reader(groks: list[str], fields: dict[str, Any], start: str | None) -> Read:
    """Return what reads a record as the proposal would."""
    framing = {"kind": "lines"} if start is None else {"kind": "multiline", "start": start}
    named = {name for grok in groks for found in _NAMED.finditer(grok) for name in found.groups() if name}
    used = {name: rule for name, rule in fields.items() if name in named}
    processor = module_of({"grok": groks, "fields": used, "framing": framing}, "proposal").new_processor()
    ctx = Context(
        source="", reject=lambda _raw, _reason: None, say=lambda _level, _message: None, framing=Framing(kind="whole")
    )

    def read(text: str) -> dict[str, Any] | None:
        return next(iter(processor.parse(text.encode(), ctx)), None)

    return read


def _agreed(known: dict[str, Any], new: Proposal) -> dict[str, Any]:
    """Return what is said of fields by both: a field has one type, whichever expression finds it."""
    fields = {**known}
    for name in new.names:
        before, now = known.get(name), new.fields.get(name)
        if before == now:
            continue
        if {str(before), str(now)} == {"int", "float"}:
            fields[name] = "float"
        elif isinstance(before, dict) and isinstance(now, dict):
            formats = [*as_texts(before["format"]), *as_texts(now["format"])]
            fields[name] = {**before, "format": list(dict.fromkeys(formats))}
        elif before is not None:
            del fields[name]
        elif now is not None:
            fields[name] = now
    return fields


def _head(heads: list[str]) -> str:
    """Return one expression for all, or for the most common lines alone where that would be too large."""
    unique = [head for head in dict.fromkeys(heads) if len(head) > len(r"\S+")]
    for several in (unique, unique[:1]):
        head = f"(?:{'|'.join(several)})" if len(several) > 1 else "".join(several)
        try:
            Pattern(f"^{head}")
        except PatternError:
            continue
        return head
    return ""
