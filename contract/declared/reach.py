"""How far an expression goes along with a text that it does not match: for the reason that its author reads."""

from typing import Any

from contract.declared.engine import compile_re2
from contract.declared.expression import Expression, cuts

_MOST_CUTS = 64
_SHOWN = 40


class Reach:
    """The beginnings of one expression, each a piece longer, compiled when they are asked for."""

    def __init__(self, expression: Expression, *, newlines: bool) -> None:
        self._newlines = newlines
        places = cuts(expression.text)
        self._texts = [expression.text[:place] for place in places[:: len(places) // _MOST_CUTS + 1]]
        self._compiled: dict[int, Any] = {}

    def explain(self, text: str) -> str:
        """Return where the text stops to be what is expected; empty where that cannot be told.

        A text that a longer beginning matches a shorter one does too, so that few are tried.
        """
        low, high, end = 0, len(self._texts), 0
        while low < high:
            middle = (low + high) // 2
            found = self._beginning(middle).match(text)
            if found is None:
                high = middle
            else:
                low, end = middle + 1, found.end()
        if not self._texts:
            return ""
        if end == len(text):
            return f": it ends too early, after {_last(text)}"
        before = f"after {_last(text[:end])}" if end else "at its start"
        return f": {before} comes {text[end : end + _SHOWN]!r}"

    def _beginning(self, number: int) -> Any:
        if number not in self._compiled:
            expression = Expression(self._texts[number], None, ())
            self._compiled[number] = compile_re2(expression, (), newlines=self._newlines)
        return self._compiled[number]


def _last(text: str) -> str:
    return repr(text[-_SHOWN:])
