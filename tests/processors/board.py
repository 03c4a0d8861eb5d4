"""The scoreboard as text: by format, in total, and what is short."""

from collections import defaultdict
from collections.abc import Iterable

from tests.processors.floor import Became, Floor, is_short


def show(became: list[Became], floor: Floor, *, missing: bool) -> str:
    """Return the tables."""
    formats: dict[str, list[Became]] = defaultdict(list)
    for each in became:
        formats[each.entry.kind].append(each)
    width = max((len(kind) for kind in formats), default=0)
    lines = [f"{'format':<{width}}  files  fit     records found      values right  seconds  processors"]
    lines += [_line(kind, formats[kind], floor, width) for kind in sorted(formats)]
    lines.append(_line("total", became, floor, width))
    lines.append(f"{sum(each.score.in_part for each in became)} of the values are part of a longer one, such as a port")
    lines += ["", "short:", *_short(became, floor, missing=missing)]
    return "\n".join(lines)


def _line(kind: str, group: list[Became], floor: Floor, width: int) -> str:
    told = [each.score for each in group if each.score.expected_records is not None]
    records, expected = sum(s.records for s in told), sum(s.expected_records or 0 for s in told)
    right, wanted = sum(each.score.right for each in group), sum(each.score.expected for each in group)
    fit = sum(fits(each, floor) for each in group)
    seconds = sum((each.report or {}).get("seconds", 0.0) for each in group)
    processors = ", ".join(sorted({each.processor or "none" for each in group})) if kind != "total" else ""
    return (
        f"{kind:<{width}}  {len(group):>5}  {fit:>3}  {records:>7} of {expected:<7} {right:>7} of {wanted:<7}"
        f" {seconds:>7.2f}  {processors}"
        + (
            f"{_percent(fit, len(group))} fit, {_percent(records, expected)} of records,"
            f" {_percent(right, wanted)} of values"
            if kind == "total"
            else ""
        )
    )


def fits(each: Became, floor: Floor) -> bool:
    """Tell whether a file went to the processor of its format, or to a general one that fits it."""
    row = floor.get(each.entry.path)
    return row is not None and row["processor"] == each.processor and row["fits"] in {"format", "general"}


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _short(became: list[Became], floor: Floor, *, missing: bool) -> Iterable[str]:
    for each in became:
        if not is_short(each):
            continue
        score, why = each.score, floor.get(each.entry.path, {}).get("why") or "no reason is written down"
        told = f"{score.records} of {score.expected_records} records, {score.right} of {score.expected} values"
        yield f"  {each.entry.path} ({each.processor or 'none'}): {told}; {why}"
        if missing:
            yield from (f"      not there: {value[:150]}" for value in score.missing)
