"""Errors that name who must act, and read: where: what is wrong; what to do."""

from enum import StrEnum


class HostdError(Exception):
    """Something the operator can mend. `where` names the file, field or line; `remedy` the way out."""

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        self.where = where
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{where}: {problem}; {remedy}")


class ConfigError(HostdError):
    """A setting in hostd.toml that cannot be used."""


class StateError(HostdError):
    """A state folder that cannot be used: in use, unreadable, or from another version."""


class SourceError(StateError):
    """A source that cannot be begun: of which kind and name, and which of its settings says of what."""

    def __init__(self, kind: str, name: str, key: str, problem: str, remedy: str) -> None:
        self.kind = kind
        self.name = name
        self.key = key
        label = kind if kind == name else f"{kind}:{name}"
        super().__init__(f"source {label}", problem, remedy)


class NoDaemonError(HostdError):
    """No daemon runs on a state folder."""


class LedgerError(StateError):
    """A ledger that cannot be used: broken, of a newer hostd, or on a disk that does not take it."""


class Stage(StrEnum):
    """How far an artifact came before it was refused."""

    FOUND = "found"
    CHECKED = "checked"
    PREPARED = "prepared"
    STARTED = "started"
    TRIED = "tried"
    PROBATION = "probation"


class Refusal(HostdError):
    """An artifact that does not go into service, for its author or the operator to mend.

    `transient` says that the cause may pass without a change to the file.
    """

    def __init__(self, stage: Stage, where: str, problem: str, remedy: str, *, transient: bool = False) -> None:
        super().__init__(where, problem, remedy)
        self.stage = stage
        self.transient = transient
        self.digest: str | None = None
        self.plugin: str | None = None


class DistrustedError(Refusal):
    """An artifact that may not run here, whatever it holds."""


class WorkerLostError(Exception):
    """A worker ended, or was killed at its deadline, before it answered; `reason` says which.

    `innocent` says that it was not the batch that it was lost with: that had not been begun.
    """

    def __init__(self, reason: str, *, innocent: bool = False) -> None:
        self.reason = reason
        self.innocent = innocent
        super().__init__(reason)


class NotKeptError(Exception):
    """A generation that served once cannot be brought back: why, and what to do."""
