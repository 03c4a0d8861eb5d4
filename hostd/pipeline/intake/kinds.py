"""The kinds of received sources, by the name that `[[sources]]` gives them; what one needs is loaded with its first."""

import importlib
from typing import Any

from hostd.pipeline.intake.intake import Doors, Intake

INTAKES = {
    "stdin": ("stdin", "StdinIntake"),
    "exec": ("command", "CommandIntake"),
    "http": ("http", "HttpIntake"),
    "syslog": ("syslog", "SyslogIntake"),
}
"""Each kind's module here, and its class."""


def make(kind: str, settings: Any, doors: Doors) -> Intake:
    """Return the intake of a source's settings; nothing is opened yet."""
    module, name = INTAKES[kind]
    made: Intake = getattr(importlib.import_module(f"hostd.pipeline.intake.{module}"), name)(settings, doors)
    return made
