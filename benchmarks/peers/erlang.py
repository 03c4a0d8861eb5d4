"""Erlang's code loading alone: a module renamed into place, compiled, loaded, called. No data passes through it."""

import json
import subprocess
from pathlib import Path

from benchmarks.peers.peer import ask, program

INSTALL = "apt-get install erlang-base"
_SCRIPT = Path(__file__).with_name("code_load.escript")


def version() -> str | None:
    """Return which release is installed; None: none is."""
    code = 'io:format("Erlang/OTP ~s~n", [erlang:system_info(otp_release)]), halt().'
    return ask(program("erl"), "-noshell", "-eval", code)


def load_ms(folder: Path, count: int) -> list[float]:
    """Return the ms from a rename until a call is answered by the new version, for so many versions."""
    done = subprocess.run(
        ["escript", _SCRIPT, folder, str(count)], cwd=folder, capture_output=True, text=True, check=True
    )
    return [float(sample) for sample in json.loads(done.stdout)]
