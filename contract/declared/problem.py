"""What is wrong with a table that says how a record is read."""


class RecipeError(ValueError):
    """A value that cannot be used: at which key, what is wrong, and what to write instead.

    `near` is a text on the very line, where the value has several.
    """

    def __init__(self, path: tuple[str, ...], problem: str, remedy: str, near: str = "") -> None:
        self.path = path
        self.problem = problem
        self.remedy = remedy
        self.near = near
        super().__init__(f"field {'.'.join(path)!r} {problem}; {remedy}")
