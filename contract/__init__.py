"""What a plugin author imports: the words that hostd and a processor share.

Importing this package loads only the standard library, so that a plugin starts in milliseconds in any
environment. `contract.manifest` and `contract.testing` are for the host and for checking tools.
"""

from contract.context import Context, PluginLog
from contract.processor import Processor, Stream, StreamProcessor, each_line
from contract.record import JsonValue, Record
from contract.version import CONTRACT_VERSION

__all__ = [
    "CONTRACT_VERSION",
    "Context",
    "JsonValue",
    "PluginLog",
    "Processor",
    "Record",
    "Stream",
    "StreamProcessor",
    "each_line",
]
