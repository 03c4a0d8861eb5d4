"""What a plugin author imports: the words that hostd and a processor share.

Importing this package loads only the standard library, so that a plugin starts in milliseconds in any
environment. `contract.manifest` and `contract.testing` are for the host and for checking tools.
"""

from contract.context import Context, PluginLog
from contract.json_lines import JsonLines
from contract.normal import SYSLOG_SEVERITIES, Timestamps, from_epoch, read_zone, severity_number, timestamps
from contract.processor import Processor, Stream, StreamProcessor, each_line, each_record
from contract.record import Columns, JsonValue, Record
from contract.rows import Rows
from contract.streams import ByteStream, LineStream, each_stream
from contract.strict_json import decode_json
from contract.version import CONTRACT_VERSION

__all__ = [
    "CONTRACT_VERSION",
    "SYSLOG_SEVERITIES",
    "ByteStream",
    "Columns",
    "Context",
    "JsonLines",
    "JsonValue",
    "LineStream",
    "PluginLog",
    "Processor",
    "Record",
    "Rows",
    "Stream",
    "StreamProcessor",
    "Timestamps",
    "decode_json",
    "each_line",
    "each_record",
    "each_stream",
    "from_epoch",
    "read_zone",
    "severity_number",
    "timestamps",
]
