"""May this artifact run here? By its owner and mode, by its digest, by who signed it.

What is judged are the bytes that were read and will run, never a path a second time; and nothing is read out of
them before they have passed.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from msgspec import Struct, field

from hostd.config import Trust
from hostd.errors import DistrustedError, Stage
from hostd.plugins import ownership

NAMESPACE = "hostd"
"""What a signature is for: one that was made for mail or for git is none for a plugin."""

SIGNATURE_SUFFIX = ".sig"
MAX_SIGNATURE_BYTES = 64 << 10
TIMEOUT_S = 10.0
MAX_PRINCIPALS = 8

Stamp = tuple[int, int, int, int, int]
"""What changes when a file does: device, inode, size, mtime and ctime in ns."""


class Policy(Struct, frozen=True):
    """What the operator trusts, as of one moment: two that are equal judge alike."""

    settings: Trust = field(default_factory=Trust)
    signers: Stamp | None = None

    @property
    def wants_signature(self) -> bool:
        """Tell whether an artifact needs a signature; verifying one takes some milliseconds."""
        return self.settings.allowed_signers is not None


DEFAULT = Policy()


def policy(settings: Trust) -> Policy:
    """Return what is trusted now: a key that was taken out of the file of allowed signers no longer is."""
    return Policy(settings, stamp(settings.allowed_signers) if settings.allowed_signers else None)


def stamp(path: Path) -> Stamp | None:
    """Return what changes when the file does; None when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def signature_path(file: Path) -> Path:
    """Return where the signature of a file lies: beside it."""
    return file.with_name(file.name + SIGNATURE_SUFFIX)


def check_digest(digest: str, display: str, policy: Policy) -> None:
    """Check an artifact against the pins. Raises DistrustedError."""
    if policy.settings.sha256 and digest not in policy.settings.sha256:
        raise DistrustedError(
            Stage.CHECKED,
            display,
            f"is not pinned: its SHA-256 is {digest}",
            "add that to [plugins.trust] sha256 in hostd.toml if this is the file you mean",
        )


def check_signature(content: bytes, signature: bytes, display: str, policy: Policy) -> None:
    """Check that an allowed signer has signed these bytes; blocks on ssh-keygen. Raises DistrustedError."""
    signers = policy.settings.allowed_signers
    assert signers is not None
    _check_signers(signers, owned=policy.settings.ownership)
    # ssh-keygen takes the bytes from us, but the signature only from a file: one of our own, not the one in the folder.
    with tempfile.NamedTemporaryFile(prefix="hostd-", suffix=SIGNATURE_SUFFIX) as file:
        file.write(signature)
        file.flush()
        found = _keygen("find-principals", "-f", str(signers), "-s", file.name)
        said = found.stderr
        for principal in found.stdout.decode("utf-8", "replace").splitlines()[:MAX_PRINCIPALS]:
            terms = ("-f", str(signers), "-I", principal, "-n", NAMESPACE, "-s", file.name)
            verified = _keygen("verify", *terms, content=content)
            if verified.returncode == 0:
                return
            said = verified.stderr
        words = said.decode("utf-8", "replace")
        if not _faults(words):
            # By a key that is not named there: only the signature itself says by which.
            asked = _keygen("check-novalidate", "-n", NAMESPACE, "-s", file.name, content=content)
            words = (asked.stderr + asked.stdout + said).decode("utf-8", "replace")
    raise _explain(words, display, signers)


_FAULTS = (
    (
        "key has expired",
        "is signed with a key that has expired ({detail})",
        "sign it with a key that is valid, or mend valid-before in {signers}",
    ),
    (
        "key is not yet valid",
        "is signed with a key that is not valid yet ({detail})",
        "wait until then, or mend valid-after in {signers}",
    ),
    (
        "namespace does not match",
        "has a signature that was made for something else",
        "sign it for hostd: ssh-keygen -Y sign -n hostd -f KEY {name}",
    ),
    (
        "not permitted for use in signature namespace",
        "is signed with a key that may not sign plugins",
        'write namespaces="hostd" in the line of that key in {signers}',
    ),
    (
        "parse signature",
        "has a signature that is damaged, or none",
        "sign it again: ssh-keygen -Y sign -n hostd -f KEY {name}",
    ),
    (
        "incorrect signature",
        "does not fit its signature: one of the two was changed",
        "put back both, or sign it again: ssh-keygen -Y sign -n hostd -f KEY {name}",
    ),
)
"""What ssh-keygen says, what that means, and what to do."""


def _faults(words: str) -> list[tuple[str, str, str]]:
    return [fault for fault in _FAULTS if fault[0] in words]


def _explain(words: str, display: str, signers: Path) -> DistrustedError:
    name = display.rpartition("/")[2]
    for said, problem, remedy in _faults(words):
        detail = next(line for line in words.splitlines() if said in line).rpartition(": ")[2]
        return DistrustedError(
            Stage.CHECKED, display, problem.format(detail=detail), remedy.format(signers=signers, name=name)
        )
    if match := re.search(r'^Good "\w+" signature with (.+)$', words, re.MULTILINE):
        # A line that ssh-keygen cannot read may be the one with the key.
        unread = "".join(f" ({line})" for line in words.splitlines() if line.startswith(f"{signers}:"))
        return DistrustedError(
            Stage.CHECKED,
            display,
            f"is signed with {match[1]}, which {signers} does not name{unread}",
            "add that key there if its owner may sign plugins",
        )
    said = " ".join(words.split()) or "nothing"
    return DistrustedError(
        Stage.CHECKED, display, f"has a signature that cannot be verified; ssh-keygen says: {said}", "sign it again"
    )


def _check_signers(signers: Path, *, owned: bool) -> None:
    """Check the file that ssh-keygen will read: who can change it decides what runs."""
    try:
        os.close(ownership.open_owned(signers, str(signers)) if owned else os.open(signers, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise DistrustedError(
            Stage.CHECKED,
            str(signers),
            f"the allowed signers cannot be read: {error.strerror}",
            "make that file, or correct [plugins.trust] allowed_signers",
            transient=True,
        ) from error


def _keygen(*arguments: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `ssh-keygen -Y …`. Raises DistrustedError when it cannot be run, or does not end."""
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", *arguments],
            input=content,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        problem, remedy = "is not installed, and signatures are verified with it", "apt-get install openssh-client"
        raise DistrustedError(Stage.CHECKED, "ssh-keygen", problem, remedy, transient=True) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        problem, remedy = f"cannot be run, or does not end: {error}", "look at what this machine is short of"
        raise DistrustedError(Stage.CHECKED, "ssh-keygen", problem, remedy, transient=True) from error
