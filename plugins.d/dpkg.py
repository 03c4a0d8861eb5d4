# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "dpkg"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Debian's /var/log/dpkg.log."
# framing = "lines"
#
# [tool.hostd.accepts]
# lines = """\
#   ^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d \
#   (startup (archives|packages) |status [a-z-]+ \\S+ |conffile \
#   |(install|upgrade|configure|trigproc|remove|purge) \\S+ \\S+ \\S+$)"""
# priority = -20
#
# [[tool.hostd.samples]]
# name = "dpkg.log"
# input = '''
# 2024-05-17 10:05:03 startup archives install
# 2024-05-17 10:05:03 upgrade tar:amd64 1.34 1.35
# 2024-05-17 10:05:04 status half-installed tar:amd64 1.34
# 2024-05-17 10:05:05 conffile /etc/tar.conf keep
# 2024-05-17 nothing
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "body": "startup archives install", "action": "startup"}''',
#   '''{"timestamp": "2024-05-17T10:05:03Z", "body": "upgrade tar:amd64 1.34 1.35", "action": "upgrade",
#    "package": "tar:amd64", "old_version": "1.34", "version": "1.35"}''',
#   '''{"timestamp": "2024-05-17T10:05:04Z", "body": "status half-installed tar:amd64 1.34", "action": "status",
#    "state": "half-installed", "package": "tar:amd64", "version": "1.34"}''',
#   '''{"timestamp": "2024-05-17T10:05:05Z", "body": "conffile /etc/tar.conf keep", "action": "conffile", "path":
#    "/etc/tar.conf", "decision": "keep"}''',
# ]
# rejected = 1
# ///
"""What dpkg did: `/var/log/dpkg.log`.

Keys: `timestamp`, `body` (all that follows the time), `action` (`startup`, `status`, `install`, `upgrade`,
`configure`, `trigproc`, `remove`, `purge`, `conffile`), and where there are such `package`, `state`, `version`,
`old_version`, `path`, `decision`. The times name no zone: the option `time_zone` says which.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, timestamps
from contract.options import LocalTime

_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) ((\w+) (.*))", re.ASCII)
_NAMES = {
    "status": ("state", "package", "version"),
    "conffile": ("path", "decision"),
    **dict.fromkeys(
        ("install", "upgrade", "configure", "trigproc", "remove", "purge"), ("package", "old_version", "version")
    ),
}


class Options(LocalTime):
    """The operator's `[plugins.options.dpkg]`."""


def parse(line: str, ctx: Context) -> Record | None:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("not TIME ACTION …")
    time, body, action, rest = found.groups()
    record: dict[str, JsonValue] = {"timestamp": timestamps("%Y-%m-%d %H:%M:%S", ctx.options.time_zone)[time]}
    record |= {"body": body, "action": action}
    names, values = _NAMES.get(action, ()), rest.split(" ")
    if len(names) == len(values):
        record |= {name: None if value == "<none>" else value for name, value in zip(names, values, strict=True)}
    return record


def new_processor() -> Processor:
    return each_record(parse)
