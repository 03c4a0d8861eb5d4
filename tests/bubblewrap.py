"""Whether plugins can be confined on the machine that runs the tests."""

import shutil
import subprocess
import sys

PATH = shutil.which("bwrap")


def works() -> bool:
    """Tell whether bubblewrap can make namespaces here."""
    command = [PATH or "bwrap", "--unshare-user", "--ro-bind", "/", "/", sys.executable, "-c", ""]
    return PATH is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
