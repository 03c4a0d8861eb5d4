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
from hostd.propose.columns import Proposal, begins_like, propose
from hostd.propose.records import Records
from hostd.propose.tokens import separator_of

_MOST_EXPRESSIONS = 5
_LEAST_SHARE = 0.02

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
    proposed = Proposed(found.start)
    firsts = [text.partition("\n")[0] for text in found.texts]
    left = [number for number, first in enumerate(firsts) if not first.startswith("#")]
    comments = len(firsts) - len(left)
    separator = "" if found.start is not None else separator_of([firsts[number] for number in left])
    heads: list[str] = []
    while left and len(proposed.groks) < _MOST_EXPRESSIONS:
        one = propose([firsts[number] for number in left], separator, goes_on=found.start is not None)
        fields = _agreed(proposed.fields, one)
        taken: set[int] = set()
        if not one.grok.startswith("%{GREEDYDATA:"):  # what these share would take anything
            read = reader([one.grok], fields, found.start)
            taken = {number for number in left if read(found.texts[number]) is not None}
        if len(taken) >= (max(2, _LEAST_SHARE * len(firsts)) if proposed.groks else 1):
            proposed.groks.append(one.grok)
            proposed.fields = fields
            heads.append(one.head)
        else:  # none that begin like these, and the others may have more in common
            taken = {number for number in left if begins_like(firsts[number], one, separator)}
        left = [number for number in left if number not in taken]
    if comments and proposed.groks:
        proposed.groks.append("#%{GREEDYDATA:comment}")
    proposed.head = _head(heads)
    return proposed


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
