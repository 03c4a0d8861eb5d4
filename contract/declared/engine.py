"""An expression to what reads texts with it: Python's `re` where that cannot be slow, RE2 otherwise.

For the short texts that logs are made of `re` needs a small part of the time of RE2 and its binding, which hand the
groups over; RE2 needs a time that grows with the text's length alone. So `re` gets the texts that `steps.longest`
vouches for.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from contract.declared.expression import Expression, cuts
from contract.declared.lazy import narrowed
from contract.declared.linewise import LinesReader
from contract.declared.problem import RecipeError
from contract.declared.steps import UNLIMITED, longest, optional_groups

MOST_MEMORY_BYTES = 16 << 20
"""What RE2 may keep of one expression."""
MOST_STEPS = 20_000
"""How large an expression compiled by RE2 may be."""


class ExpressionReader:
    """Reads texts with one expression, from their start to their end, or with `anywhere` any part of them.

    Texts hold line feeds only where `newlines` says so, and `.` matches them then. They end with none, for before that
    Python's `$` matches and RE2's does not.
    """

    def __init__(self, expression: Expression, path: tuple[str, ...], *, newlines: bool, anywhere: bool) -> None:
        self.names = expression.names
        self._expression = expression
        self._path = path
        self._newlines = newlines
        self._anywhere = anywhere
        self._re2: Callable[[bytes], Any] | None = None
        self._folds_case = expression.folds_case
        self.longest_by_re = 0
        self.optional = optional_groups(expression.python, len(expression.names))
        python = None if expression.python is None else narrowed(expression.python)
        if python is not None and (not anywhere or _is_anchored(expression.text)):
            self.longest_by_re = longest(python, newlines=newlines, whole=not anywhere)
        self._most = self.longest_by_re or -1  # not even an empty text
        if self.longest_by_re:
            compiled = re.compile(python or "", re.ASCII | (re.DOTALL if newlines else 0))
            self._quick: Callable[[str], re.Match[str] | None] = compiled.match if anywhere else compiled.fullmatch
        is_of_lines = not (newlines or anywhere or expression.folds_case)
        self.lines = LinesReader(
            *(python if is_of_lines else None, len(self.names)),
            optional=bool(self.optional),
            longest=self.longest_by_re,
        )

    def read(self, text: str) -> tuple[str | None, ...] | None:
        """Return each field's text, None for one that took no part; None when the text does not match."""
        if len(text) > self._most or (self._folds_case and not text.isascii()):
            return self._read_by_re2(text)
        found = self._quick(text)
        return None if found is None else found.groups()

    def read_all(self, texts: list[str]) -> Iterator[tuple[str | None, ...] | None]:
        """Return what `read` does of each text, with less ado for each."""
        if self.longest_by_re < UNLIMITED or self._folds_case:
            return map(self.read, texts)
        return (None if found is None else found.groups() for found in map(self._quick, texts))

    def _read_by_re2(self, text: str) -> tuple[str | None, ...] | None:
        if self._re2 is None:
            compiled = compile_re2(self._expression, self._path, newlines=self._newlines)
            self._re2 = compiled.search if self._anywhere else compiled.fullmatch
        # Of bytes: to count the characters of a text takes the binding as long as RE2 takes to match it.
        found = self._re2(text.encode())
        if found is None:
            return None
        return tuple([None if group is None else group.decode("utf-8", "backslashreplace") for group in found.groups()])


def _is_anchored(text: str) -> bool:
    """Tell whether an expression matches from a text's start on only."""
    return text.startswith("^") and bool(cuts(text))  # no choice of which the other ways begin elsewhere


def compile_re2(expression: Expression, path: tuple[str, ...], *, newlines: bool) -> Any:
    """Return an expression compiled by RE2, in a time that its length bounds. Raises RecipeError."""
    import re2  # type: ignore[import-untyped]  # few workers need it

    options = re2.Options()
    options.log_errors = False  # on standard error, past the log
    options.max_mem = MOST_MEMORY_BYTES
    options.dot_nl = newlines
    try:
        compiled = re2.compile(expression.text, options)
    except re2.error as error:
        reason = error.args[0]
        said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise RecipeError(path, f"is not a regular expression of RE2: {said}", "correct it") from error
    if compiled.programsize > MOST_STEPS:
        raise RecipeError(
            path,
            f"is too large an expression: {compiled.programsize} steps, more than {MOST_STEPS}",
            "repeat less in it: a{100} is a hundred steps",
        )
    return compiled
