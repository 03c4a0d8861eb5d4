"""What a process holds for as long as it lives, it must have a use for."""

import subprocess
import sys

import pytest

from hostd.workers.digest import sha256_hex


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("hostd.workers.zygote", {"_hashlib", "ssl", "re2", "pydantic", "asyncio", "logging"}),
        ("hostd.daemon", {"re2", "pyarrow"}),
    ],
)
def test_large_libraries_are_loaded_when_they_are_needed(module: str, unwanted: set[str]) -> None:
    """OpenSSL and RE2 are megabytes each, in every process."""
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert unwanted.isdisjoint(loaded.split())
    assert module in loaded.split()


def test_the_digest_is_that_of_sha256sum() -> None:
    """FIPS 180-4's own example."""
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
