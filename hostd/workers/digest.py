"""SHA-256 by the interpreter's own code.

`hashlib` loads OpenSSL, also where that has the algorithm from elsewhere: 3.5 MiB in each zygote, and its time.
"""

import contextlib
from collections.abc import Callable
from importlib import import_module

Hash = Callable[[bytes], str]


def _find() -> Hash:
    for name in ("_sha2", "_sha256", "hashlib"):  # since Python 3.12; before; where it is built without
        with contextlib.suppress(ImportError):
            sha256 = import_module(name).sha256
            return lambda content: sha256(content).hexdigest()
    raise ImportError("Python is built without SHA-256")


sha256_hex = _find()
"""Returns the SHA-256 of some bytes, as `sha256sum` prints it."""
