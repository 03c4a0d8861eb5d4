"""The catalogue of log events: every decision is one of these, with these keys, and nothing else is logged.

An event is a fact in the past tense. `docs/reference/events.md` is generated from this module.
"""

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from msgspec import Struct

Level = Literal["debug", "info", "warning", "error"]


class Event(Struct, frozen=True):
    """One kind of event: its name, level, keys, and what it means to an operator."""

    name: str
    level: Level
    keys: frozenset[str]
    meaning: str


CATALOGUE: dict[str, Event] = {}


def _event(name: str, level: Level, keys: str, meaning: str) -> Event:
    event = Event(name, level, frozenset(keys.split()), meaning)
    CATALOGUE[name] = event
    return event


DAEMON_STARTED = _event(
    "daemon.started", "info", "version pid config plugins_folder state_folder sandbox", "The daemon runs."
)
DAEMON_READY = _event("daemon.ready", "info", "plugins sources ms", "The first pass over plugins and sources is done.")
DAEMON_STOPPING = _event(
    "daemon.stopping", "info", "reason grace_s", "No more input is taken; what is under way is finished."
)
DAEMON_STOPPED = _event(
    "daemon.stopped",
    "info",
    "exit_code ms",
    "Everything read has been committed or is left for the next start.",
)
LOG_INTERRUPTED = _event(
    "log.interrupted",
    "warning",
    "lines",
    "So many lines of this log could not be written when they came. Nothing else waited for that.",
)
CONFIG_RELOADED = _event(
    "config.reloaded",
    "info",
    "config changed",
    "hostd.toml was read again; `changed` names the settings now in force.",
)
CONFIG_REFUSED = _event(
    "config.refused", "error", "config reason", "hostd.toml is invalid; the settings in force stay."
)
CONFIG_NEEDS_RESTART = _event(
    "config.needs_restart",
    "warning",
    "config setting",
    "This setting changed, but holds only from the next start.",
)
FOLDER_UNREADABLE = _event(
    "folder.unreadable",
    "warning",
    "folder reason",
    "The plugins folder is gone or unreadable; what serves goes on serving.",
)
FOLDER_WATCHED = _event(
    "folder.watched", "info", "folder by", "The plugins folder is watched, by kernel events or by polling."
)
FOLDER_POLLED = _event(
    "folder.polled",
    "warning",
    "folder reason",
    "The kernel gives no events for a watched folder: it is looked at every second, until there are events again.",
)
APPENDS_UNWATCHED = _event(
    "appends.unwatched",
    "warning",
    "reason",
    "Files cannot be watched one by one (raise fs.inotify.max_user_watches): their folders' events tell of writes.",
)
FOLDER_EVENTS_LOST = _event(
    "folder.events_lost", "warning", "reason", "Events of watched folders were lost: all of them are looked at again."
)
ARTIFACT_FOUND = _event(
    "artifact.found", "debug", "path digest size", "A plugin file with new contents lies in the folder."
)
ARTIFACT_REFUSED = _event(
    "artifact.refused",
    "error",
    "path plugin stage reason digest serving",
    "A plugin file, or the whole folder, does not go into service; `serving` names what goes on serving.",
)
ARTIFACT_STANDBY = _event(
    "artifact.standby",
    "info",
    "path plugin version reason",
    "A second file of this name with a lower version waits.",
)
ENVIRONMENT_INSTALLED = _event(
    "environment.installed",
    "info",
    "environment requirements ms",
    "What a plugin depends on was installed; plugins with the same requirements share it.",
)
ENVIRONMENT_REMOVED = _event("environment.removed", "info", "environment", "No plugin needs this environment any more.")
GENERATION_STARTED = _event(
    "generation.started",
    "info",
    "plugin generation version contract digest path pid ms",
    "A worker of the new generation imported it, made its processor and passed its samples; `contract` is the version "
    "that was negotiated.",
)
GENERATION_RESUMED = _event(
    "generation.resumed",
    "info",
    "plugin generation version contract digest path",
    "It served before the restart, and was proven under the same hostd, Python and sandbox: it goes on without being "
    "started first, and its first worker comes with its first batch.",
)
GENERATION_SWITCHED = _event(
    "generation.switched",
    "info",
    "plugin generation version took_over_from ms",
    "New batches go to this generation; `ms` since its file was seen.",
)
GENERATION_TRIED = _event(
    "generation.tried",
    "info",
    "plugin generation compared_with records regressions changes ms",
    "Recent input was parsed by the new generation and by the one in service, and compared.",
)
TRIAL_SKIPPED = _event(
    "trial.skipped",
    "warning",
    "plugin generation compared_with pieces of reason",
    "Recent input of streams was not compared, `pieces` out of `of`: one of the two does not open its snapshot.",
)
TRIAL_DIFFERED = _event(
    "trial.differed",
    "warning",
    "plugin generation compared_with differences",
    "The new generation goes live although it parses recent input otherwise: other keys, or a trial that only warns.",
)
GENERATION_CONFIRMED = _event(
    "generation.confirmed",
    "info",
    "plugin generation regressions",
    "Its probation is over: the generation is permanent, and what a restart falls back on.",
)
BATCH_REGRESSED = _event(
    "batch.regressed",
    "warning",
    "plugin generation fell_back_to source offset regressions allowance reason",
    "The generation on probation failed a batch that the proven one then parsed.",
)
GENERATION_ROLLED_BACK = _event(
    "generation.rolled_back",
    "error",
    "plugin generation version back_to reason",
    "The proven generation is current again; the file of the one that failed is set aside until it changes.",
)
GENERATION_FAILING = _event(
    "generation.failing",
    "error",
    "plugin generation losses reason retry_s",
    "Too many batches lost their worker: its sources wait, and are tried again after `retry_s`.",
)
GENERATION_RECOVERED = _event(
    "generation.recovered",
    "info",
    "plugin generation",
    "A generation that was failing has parsed a batch, or an operator has asked to try it again.",
)
PLUGIN_HELD = _event(
    "plugin.held", "info", "plugin generation kind path reason", "A generation was pinned, or gone back to."
)
PLUGIN_RELEASED = _event(
    "plugin.released",
    "info",
    "plugin generation kind path reason",
    "What lies in the folder decides again which generation serves.",
)
GENERATION_DRAINING = _event(
    "generation.draining",
    "debug",
    "plugin generation in_flight reason",
    "The generation gets no new batches.",
)
GENERATION_RETIRED = _event(
    "generation.retired", "info", "plugin generation reason ms", "The generation's processes have ended."
)
SANDBOX_UNAVAILABLE = _event(
    "sandbox.unavailable",
    "warning",
    "reason remedy",
    "Plugins run in processes of their own but unconfined: the sandbox does not work here.",
)
WORKER_EXITED = _event(
    "worker.exited", "warning", "plugin generation pid reason", "A worker ended without being told to."
)
ZYGOTE_STARTED = _event(
    "zygote.started",
    "debug",
    "pid sandbox ms",
    "The process that workers are forked from is ready; `sandbox` is what confines them, `bubblewrap` or `none`.",
)
ZYGOTE_RETIRED = _event(
    "zygote.retired",
    "debug",
    "pid reason",
    "The process that the workers of an environment are forked from was ended; it is started again when needed.",
)
ZYGOTE_EXITED = _event(
    "zygote.exited",
    "error",
    "pid reason",
    "The process that workers are forked from ended; another is started.",
)
BATCH_RETRIED = _event(
    "batch.retried",
    "warning",
    "plugin generation source offset size reason",
    "The batch is parsed again by a fresh worker.",
)
RECORD_REJECTED = _event(
    "record.rejected",
    "warning",
    "plugin generation source offset count reason preview",
    "Input that could not be parsed is now a dead letter; `count` more of the same batch are not logged.",
)
LETTERS_REPLAYED = _event(
    "letters.replayed",
    "info",
    "plugin generation letters records rejected kept reason ms",
    "A generation has parsed dead letters again: `letters` are dead no more and `records` came of them, `rejected` "
    "failed once more, and `kept` could not be tried; `reason` is the first of these.",
)
LETTERS_POSTPONED = _event(
    "letters.postponed",
    "warning",
    "plugin reason retry_s",
    "Dead letters wait to be parsed again, for as long as it says; null: until something changes.",
)
LETTERS_EXPIRED = _event(
    "letters.expired",
    "warning",
    "letters plugins reason",
    "The oldest dead letters were given up, as `[dead_letters]` says; `plugins` has how many of each.",
)
LETTERS_DROPPED = _event(
    "letters.dropped", "info", "letters filter", "An operator has dropped dead letters, those that `filter` names."
)
PLUGIN_LOGGED = _event(
    "plugin.logged",
    "info",
    "plugin generation source said message",
    "A plugin said something: ctx.log, or its standard output.",
)
SOURCE_FOUND = _event("source.found", "info", "source size offset", "A file is read, from `offset`.")
SOURCE_ROUTED = _event("source.routed", "info", "source plugin why", "The source's batches go to this plugin.")
SOURCE_UNROUTED = _event(
    "source.unrouted", "warning", "source reason", "No plugin takes the source; it waits where it is."
)
SOURCE_UNPARSED = _event(
    "source.unparsed",
    "error",
    "source plugin reason",
    "Its plugin can start no worker, or loses them all to something else; the source is tried again.",
)
SOURCE_ROTATED = _event(
    "source.rotated",
    "info",
    "source offset",
    "The path now names another file; the old one is read to its end.",
)
SOURCE_TRUNCATED = _event(
    "source.truncated",
    "warning",
    "source offset size",
    "The file was cut or rewritten; it is read from its start.",
)
SOURCE_DECODED = _event(
    "source.decoded",
    "info",
    "source kind",
    "The file is unpacked as it is read, or made UTF-8 of; offsets count the bytes that come of it.",
)
SOURCE_KNOWN = _event(
    "source.known",
    "info",
    "source offset original",
    "The file is a copy of `original`, packed or not: what was read of that, up to `offset`, is not read again.",
)
SOURCE_HOLE_SKIPPED = _event(
    "source.hole_skipped",
    "info",
    "source offset",
    "The file begins with NULs, as a writer leaves them that kept its place in a truncated file; they are skipped.",
)
SOURCE_DAMAGED = _event(
    "source.damaged",
    "error",
    "source offset reason",
    "The archive cannot be unpacked beyond `offset`: the whole lines before are parsed, and it is tried again when it "
    "changes.",
)
SOURCE_ENDED = _event("source.ended", "info", "source offset reason", "The file is read to its end and closed.")
SOURCE_UNREADABLE = _event("source.unreadable", "error", "source reason", "The file cannot be read; it is tried again.")
SOURCES_LEFT_OUT = _event(
    "sources.left_out",
    "error",
    "count reason",
    "There are more files than may be open: these wait until there is room, and those that are open are read on.",
)
SOURCES_TAKEN_IN = _event("sources.taken_in", "info", "count", "There is room again for all files that were left out.")
INTAKE_STARTED = _event(
    "intake.started",
    "info",
    "source listening",
    "A source that is no file takes in what comes; `listening` says where.",
)
INTAKE_ENDED = _event("intake.ended", "info", "source", "It takes in no more; what came is read to its end.")
INTAKE_BROKEN = _event(
    "intake.broken",
    "error",
    "source reason",
    "It cannot be read any more; what came of it until then is read to its end.",
)
SPOOL_CUT = _event(
    "spool.cut",
    "info",
    "source offset size",
    "What an earlier daemon had received and not committed was cut off: whoever sent it had no answer, and sends it "
    "again.",
)
SPOOL_DAMAGED = _event(
    "spool.damaged",
    "error",
    "source offset reason",
    "Bytes that were received are gone, and blank lines in their place: the machine stopped before their commit.",
)
SPOOL_FAILED = _event(
    "spool.failed",
    "error",
    "source reason retry_s",
    "What comes cannot be written to the state folder: whoever sends waits, and datagrams are dropped.",
)
SPOOL_RECOVERED = _event("spool.recovered", "info", "source", "What comes can be written again.")
STORE_KEPT = _event(
    "store.kept",
    "error",
    "reason",
    "Private copies, or environments, that nothing needs any more cannot be removed; that is tried again.",
)
SPOOL_KEPT = _event(
    "spool.kept",
    "error",
    "source reason",
    "What was received and is committed cannot be removed from the state folder; that is tried again with each commit.",
)
POST_REFUSED = _event(
    "post.refused",
    "warning",
    "source client status reason unsaid",
    "A post was answered by `status`; 10 a second are logged, and `unsaid` others were not. 429 is only counted.",
)
POST_FAILED = _event("post.failed", "error", "reason", "A post could not be answered, or was no HTTP.")
SYSLOG_DROPPED = _event(
    "syslog.dropped",
    "warning",
    "source messages total reason",
    "Datagrams are gone: they came faster than they could be taken. Raise `receive_buffer_kib`, or send over TCP.",
)
SYSLOG_REFUSED = _event(
    "syslog.refused",
    "warning",
    "source client unsaid",
    "What a client sent was not taken, since no network of `allow` has it; `unsaid` others were not logged.",
)
SYSLOG_CUT = _event(
    "syslog.cut",
    "warning",
    "source client messages limit_kib",
    "Messages were longer than `max_message_kib`: what is beyond is gone.",
)
EXEC_STARTED = _event("exec.started", "info", "source pid command", "The command of a source was started.")
EXEC_ENDED = _event(
    "exec.ended",
    "warning",
    "source reason retry_s",
    "The command of a source has ended by itself, and is started again after `retry_s`; null: it is not.",
)
EXEC_SAID = _event(
    "exec.said",
    "info",
    "source said unsaid",
    "The command of a source said this on its standard error; 20 lines a second are logged, `unsaid` others were not.",
)
STREAM_HANDED_OVER = _event(
    "stream.handed_over",
    "debug",
    "source plugin generation took_over_from offset",
    "Another generation goes on with the source's stream, from the snapshot of the one before.",
)
STREAM_KEPT = _event(
    "stream.kept",
    "warning",
    "source plugin generation refused_by offset reason",
    "The current generation, `refused_by`, does not open the stream's snapshot: `generation`, which made it, keeps the"
    " source until it ends, or another version opens it.",
)
STREAM_WAITING = _event(
    "stream.waiting",
    "error",
    "source plugin offset reason",
    "Nothing can go on with the source's stream; it waits where it is, and is tried again with the next version.",
)
STREAM_ENDED = _event(
    "stream.ended", "debug", "source plugin generation offset", "The source's stream was told that it ends here."
)
SINK_OPENED = _event("sink.opened", "debug", "sink path length", "A sink's file is appended to from `length`.")
SINK_TRIMMED = _event(
    "sink.trimmed",
    "info",
    "sink path length cut",
    "Bytes past the ledger were cut off, of a database rows; their input is parsed again.",
)
SINK_DIVERGED = _event(
    "sink.diverged",
    "warning",
    "sink path length expected reason",
    "The file is not as long as the ledger says, or does not end there: someone else wrote to it or cut it. It is "
    "appended to as it is.",
)
SINK_ROTATED = _event(
    "sink.rotated", "info", "sink path to length", "The sink's file was rotated; what comes goes to a new one."
)
SINK_PACKED = _event("sink.packed", "debug", "sink path size packed", "A rotated file was compressed.")
SINK_EXPIRED = _event("sink.expired", "info", "sink path keep", "The oldest rotated file was removed, as `keep` says.")
SINK_PACKING_FAILED = _event(
    "sink.packing_failed",
    "warning",
    "sink path reason retry_s",
    "A rotated file could not be compressed or removed; it stays as it is, and that is tried again.",
)
SINK_CONVERTED = _event(
    "sink.converted", "debug", "sink processor records", "Staged records were written as Parquet files."
)
SINK_UNDELIVERED = _event(
    "sink.undelivered",
    "error",
    "sink processor reason waiting retry_s",
    "Staged records could not be delivered, `waiting` bytes of them; that is tried again, and they stay staged.",
)
SINK_DELIVERED = _event(
    "sink.delivered", "info", "sink processor waiting", "A processor's staged records are delivered again."
)
SINK_BATCH_REFUSED = _event(
    "sink.batch_refused",
    "error",
    "sink processor records reason kept",
    "The server refuses these very records: they are set aside in the file `kept`, and the next are sent.",
)
SINK_FAILED = _event(
    "sink.failed",
    "error",
    "sink reason retry_s",
    "A commit failed; it is tried again and reading waits. `sink` is what failed: a sink, or the ledger.",
)
SINK_BLOCKED = _event(
    "sink.blocked", "warning", "sink seconds", "A commit waits for a sink or the ledger, and reading waits behind it."
)
SINK_RECOVERED = _event(
    "sink.recovered", "info", "sink tries seconds", "The commit that failed or had to wait is done; reading goes on."
)
LEDGER_REFUSED = _event(
    "ledger.refused",
    "error",
    "path reason remedy",
    "The ledger is broken, of a newer hostd, or its disk does not take it: the daemon ends with exit code 4.",
)
LEDGER_OPENED = _event(
    "ledger.opened", "debug", "path sources dead_letters", "The account of what was read and written is open."
)
PROVENANCE_DROPPED = _event(
    "provenance.dropped",
    "debug",
    "rows reaches_back_to",
    "Where records lie was forgotten, as it is too old; `hostd explain` reaches back to this time.",
)
SOURCE_FORGOTTEN = _event(
    "source.forgotten",
    "info",
    "source path",
    "Nothing was read of the file for `[provenance] keep_days`, and it is gone: the ledger knows it no more.",
)
REPARSE_STARTED = _event(
    "reparse.started",
    "info",
    "plugin generation sources bytes records left",
    "What a generation parsed is parsed again; `left` is how many sources and files stay as they are.",
)
REPARSE_FINISHED = _event(
    "reparse.finished",
    "info",
    "plugin generation bytes records_before records_after dead_before dead_after ms",
    "The records that a generation made have been replaced, all at once.",
)
REPARSE_FAILED = _event(
    "reparse.failed", "error", "plugin generation reason", "Nothing was replaced: everything is as it was before."
)
REPARSE_UNDONE = _event(
    "reparse.undone",
    "warning",
    "plugin path",
    "The daemon had ended while it replaced this file: it is as it was before. Ask for it again.",
)
CONTROL_FAILED = _event("control.failed", "warning", "reason", "A request on the control socket could not be answered.")

_LEVELS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Quoted:
    """A text that is shown as Python would write it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return repr(self.text)


def _without_control_characters(_: object, __: str, shown: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Quote what has characters that a terminal would obey: a preview is of whatever somebody wrote into a log."""
    for key, value in shown.items():
        if isinstance(value, str) and not value.isprintable():
            shown[key] = _Quoted(value)
    return shown


_encode = json.JSONEncoder(ensure_ascii=False, default=repr).encode


def _as_json(event: Any, **_: object) -> str:
    """Return an event as JSON, without an encoder made for it alone: a swap waits for three of them."""
    return _encode(event)


def configure(format_: Literal["auto", "console", "json"], level: Level, stream: TextIO | None = None) -> None:
    """Send events to `stream` (standard error by default) for people or for machines.

    `auto` is `console` on a terminal and `json` otherwise. May be called again.
    """
    out = stream if stream is not None else sys.stderr
    console = format_ == "console" or (format_ == "auto" and out.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=20, sort_keys=False)
        if console
        else structlog.processors.JSONRenderer(_as_json)
    )
    for_people = [_without_control_characters] if console else []
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if console else "iso", utc=not console)
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, *for_people, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )


def emit(event: Event, /, **keys: object) -> None:
    """Log one event. The keys must be the ones it declares: a mismatch is a bug and raises TypeError."""
    emit_at(event.level, event, **keys)


def emit_at(level: str, event: Event, /, **keys: object) -> None:
    """Log one event at another level than its own, if `level` is one."""
    if keys.keys() != event.keys:
        raise TypeError(f"event {event.name} has keys {sorted(event.keys)}, got {sorted(keys)}")
    try:
        if _unwritten.lines:
            _log(LOG_INTERRUPTED.level, LOG_INTERRUPTED.name, lines=_unwritten.lines)
            _unwritten.lines = 0
        _log(level if level in _LEVELS else event.level, event.name, **keys)
    except OSError:  # nobody can be told, and no input is to be lost for a line about it
        _unwritten.lines += 1


def _log(level: str, name: str, **keys: object) -> None:
    getattr(structlog.get_logger(), level)(name, **keys)


class _Unwritten:
    """How many lines could not be written since one was."""

    lines = 0


_unwritten = _Unwritten()
