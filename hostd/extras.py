"""The libraries that come with an extra: whether one is there, and how it is to be had."""

import importlib.util


def missing(module: str, extra: str) -> tuple[str, str] | None:
    """Return what is wrong and what to do, when a library is not there that comes with an extra."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # not even the package above it
        found = None
    if found is not None:
        return None
    return f"needs the package {module.replace('.', '-')}, which is not installed", f"pip install 'hostd[{extra}]'"
