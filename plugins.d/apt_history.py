# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "apt_history"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Debian's /var/log/apt/history.log: one record for each run of APT."
# framing = { kind = "multiline", start = 'Start-Date: ' }
# accepts = { head = '^Start-Date: \d{4}-\d\d-\d\d  ?\d\d:\d\d:\d\d$', priority = -20 }
#
# [[tool.hostd.samples]]
# name = "history.log"
# input = '''
#
# Start-Date: 2024-05-17  10:05:03
# Commandline: apt-get install tar
# Requested-By: dana (1000)
# Install: tar:amd64 (1.35), libacl1:amd64 (2.3.1, automatic)
# Upgrade: vim:amd64 (1, 2)
# End-Date: 2024-05-17  10:05:10
#
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "command_line": "apt-get install tar", "requested_by":
#    "dana (1000)", "install": [{"package": "tar:amd64", "versions": ["1.35"], "automatic": false},
#    {"package": "libacl1:amd64", "versions": ["2.3.1"], "automatic": true}], "upgrade": [{"package":
#    "vim:amd64", "versions": ["1", "2"], "automatic": false}], "end": "2024-05-17T10:05:10Z"}''',
# ]
# ///
"""APT's history: one record for each run.

Keys: `timestamp` (when it began), `end` (when it ended), `command_line`, `requested_by`, `error`, and for each of
`install`, `upgrade`, `downgrade`, `reinstall`, `remove`, `purge` a list of packages: `package`, `versions` and
whether it is `automatic`. The times name no zone: the option `time_zone` says which.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, timestamps
from contract.options import LocalTime

_PACKAGE = re.compile(r"(?<![^\s,()])([^\s,()]+) \(([^)]*)\)")
_ACTIONS = {"install", "upgrade", "downgrade", "reinstall", "remove", "purge"}


class Options(LocalTime):
    """The operator's `[plugins.options.apt_history]`."""


def parse(text: str, ctx: Context) -> Record | None:
    times = timestamps("%Y-%m-%d  %H:%M:%S", ctx.options.time_zone)
    record: dict[str, JsonValue] = {}
    for line in text.strip("\n").split("\n"):
        name, colon, value = line.partition(": ")
        if not colon:
            raise ValueError(f"not NAME: VALUE: {line!r:.80}")
        key = {"Commandline": "command_line"}.get(name, name.lower().replace("-", "_"))
        if key in {"start_date", "end_date"}:
            record["timestamp" if key == "start_date" else "end"] = times[value]
        else:
            record[key] = _packages(value) if key in _ACTIONS else value
    return record


def _packages(text: str) -> list[JsonValue]:
    packages: list[JsonValue] = []
    for name, inside in _PACKAGE.findall(text):
        parts = inside.split(", ")
        automatic = parts[-1] == "automatic"
        versions: list[JsonValue] = [*(parts[:-1] if automatic else parts)]
        packages.append({"package": name, "versions": versions, "automatic": automatic})
    return packages


def new_processor() -> Processor:
    return each_record(parse)
