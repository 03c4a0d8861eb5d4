"""Real SSH keys and signatures, made as a person makes them."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed (Debian: openssh-client)"
)


@dataclass(frozen=True)
class Key:
    """A private key that signs, and the line that names it in a file of allowed signers."""

    path: Path
    name: str

    def sign(self, content: str | bytes, namespace: str = "hostd") -> bytes:
        """Return the signature of some bytes."""
        return subprocess.run(
            ["ssh-keygen", "-Y", "sign", "-q", "-f", self.path, "-n", namespace],
            input=content.encode() if isinstance(content, str) else content,
            capture_output=True,
            check=True,
        ).stdout

    def line(self, options: str = 'namespaces="hostd"') -> str:
        """Return the line of this key in a file of allowed signers."""
        kind, key = self.path.with_suffix(".pub").read_text().split()[:2]
        return f"{self.name} {options} {kind} {key}\n"

    @property
    def fingerprint(self) -> str:
        """How messages name the key."""
        done = subprocess.run(["ssh-keygen", "-l", "-f", self.path], capture_output=True, text=True, check=True)
        return f"ED25519 key {done.stdout.split()[1]}"


def make_key(folder: Path, name: str = "ops@example.com") -> Key:
    """Make a key without a passphrase."""
    path = folder / f"key-{name}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    (folder / f"key-{name}.pub").rename(path.with_suffix(".pub"))
    return Key(path, name)
