"""Whether the sandbox is in force: decided once, by the first zygote, and then the same for all.

Once it has worked nothing is ever started without it; where it may not be missed nothing ever was.
"""

import contextlib
import os

from hostd import events
from hostd.errors import HostdError
from hostd.workers.launch import Launched, Place, launch
from hostd.workers.sandbox import Sandbox, why_not


class SandboxError(HostdError):
    """A sandbox that is required, and does not work here."""


class Confinement:
    """What all zygotes of a pool are started in. Without a `sandbox`, nothing but processes of their own."""

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self._sandbox = sandbox if sandbox is not None and sandbox.mode != "off" else None
        self.decided = self._sandbox is None
        self.reason = "" if self._sandbox is not None else "it is off"

    @property
    def by(self) -> str:
        """What confines plugins, as far as is known: `bubblewrap` or `none`."""
        return "bubblewrap" if self._sandbox is not None else "none"

    @property
    def required(self) -> bool:
        """Tell whether nothing may run without the sandbox."""
        return self._sandbox is not None and self._sandbox.mode == "required"

    def adopt(self, launched: Launched | None) -> Launched | None:
        """Return a zygote that was started ahead if it is what would be started now; hang up on it otherwise."""
        if launched is None or launched.sandbox == self._sandbox:
            return launched
        launched.control.close()
        if launched.process.stderr is not None:
            launched.process.stderr.close()
        return None

    def launch(self, place: Place) -> Launched:
        """Start a zygote. Raises SandboxError, or OSError when there can be no process."""
        try:
            return launch(place, self._sandbox)
        except FileNotFoundError:
            if self.decided:
                raise
            self.fail("")
            return launch(place)

    def hold(self) -> None:
        """Take note that a zygote is ready."""
        self.decided = True

    def fail(self, said: str) -> None:
        """Take note that the first zygote did not come up in the sandbox; go on without, if that may be.

        Raises SandboxError if not.
        """
        assert self._sandbox is not None
        reason, remedy = why_not(said)
        if self._sandbox.mode == "required":
            raise SandboxError("[plugins.sandbox]", f"the sandbox does not work: {reason}", remedy)
        self._sandbox, self.decided, self.reason = None, True, f"{reason}; {remedy}"
        events.emit(events.SANDBOX_UNAVAILABLE, reason=reason, remedy=remedy)


def last_words(zygote: Launched) -> str:
    """Return the last line that a zygote under bubblewrap wrote to its standard error; it has ended."""
    if zygote.process.stderr is None:
        return ""
    with zygote.process.stderr as stream, contextlib.suppress(BlockingIOError):
        os.set_blocking(stream.fileno(), False)
        lines = (os.read(stream.fileno(), 65536) or b"").decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""
    return ""
