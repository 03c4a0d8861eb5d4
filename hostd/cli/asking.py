"""What commands share that only ask a running daemon."""

import argparse

from hostd import early
from hostd.state import StateFolder


def state_folder(options: argparse.Namespace) -> StateFolder:
    """Return the state folder that the settings name. Raises ConfigError.

    Nothing else of them matters to who asks, and checking it all takes longer than the answer.
    """
    path = early.find(options.config)
    found = early.peek(path)
    if found is not None:
        return StateFolder(found[1])
    from hostd import config  # they are wrong somewhere, and it says where

    return StateFolder(config.load(path).state.folder)
