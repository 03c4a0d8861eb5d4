"""What a zygote gets from the daemon, and what it does not."""

import shutil
import subprocess
import sys

import pytest

CODE = """
from pathlib import Path
from hostd.workers.launch import launch

def capabilities(pid):
    return Path(f"/proc/{pid}/status").read_text().partition("CapAmb:")[2].split()[0]

before = capabilities("self")
launched = launch()
print(before, capabilities(launched.process.pid))
launched.control.close()
launched.process.wait(30)
"""


def test_capabilities_of_the_daemons_own_do_not_go_to_what_it_starts() -> None:
    """systemd gives them by AmbientCapabilities=; bubblewrap refuses to run with any, and workers need none."""
    given = ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"]
    if shutil.which("setpriv") is None or subprocess.run(["setpriv", *given, "true"], capture_output=True).returncode:
        pytest.skip("setpriv is missing, or may not give capabilities")
    ran = subprocess.run(
        ["setpriv", *given, sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True
    )
    before, of_zygote = ran.stdout.split()
    assert int(before, 16) == 1 << 10  # CAP_NET_BIND_SERVICE of capabilities(7)
    assert int(of_zygote, 16) == 0
