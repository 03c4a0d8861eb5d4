"""A new version first parses what the one in service parsed lately; what it cannot is shown, and it is refused."""

import pytest

from .harness import Daemon, Home, plugin, wheel, worse
from .test_misbehaving import dead_letters

LINES = ["good 1", "bad 2", "good 3", "bad 4", "bad 5", "bad 6"]
RAISES = "plugins.d/lines.py: no longer parses what generation 1 (1.0.0) does: "
REMEDY = '; mend it; or allow it: [plugins.trial] regressions, or mode = "warn"'


def serving(
    home: Home, *lines: str | bytes, more: str = "", source: str | None = None, probation_s: float = 0
) -> Daemon:
    """Return a daemon whose plugin `lines` 1.0.0 has parsed some lines."""
    home.configure(more, probation_s=probation_s)
    home.drop("lines.py", source or plugin())
    home.append("a.log", *lines)
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="lines", generation=1)
    daemon.wait_all_read()
    return daemon


def assert_by(daemon: Daemon, *expected: str) -> None:
    """Every line that was written is one record, by the version that is expected for it."""
    records = daemon.wait_records("lines", len(expected))
    assert [record["by"] for record in records] == list(expected)


def test_a_version_that_fails_recent_lines_is_refused_with_the_first_three(home: Home) -> None:
    """Each with its source, offset and reason; the one in service goes on, and the mended file goes live."""
    daemon = serving(home, *LINES)
    home.drop("lines.py", worse("2.0.0"))
    refused = daemon.wait_event("artifact.refused")
    assert (refused["stage"], refused["serving"]) == ("tried", "generation 1 (1.0.0)")
    assert refused["reason"] == (
        f"{RAISES}logs/a.log at 7: 'bad 2' is not parsed: ValueError: bad 2; "
        "logs/a.log at 20: 'bad 4' is not parsed: ValueError: bad 4; "
        f"logs/a.log at 26: 'bad 5' is not parsed: ValueError: bad 5; and more{REMEDY}"
    )
    tried = daemon.wait_event("generation.tried")
    assert (tried["generation"], tried["compared_with"], tried["records"], tried["regressions"]) == (2, 1, 6, 4)
    home.append("a.log", "bad 7")
    assert_by(daemon, *["1.0.0"] * 7)
    status = home.hostd("status").stdout
    assert f"  at tried: {refused['reason']}\n" in status
    home.drop("lines.py", plugin(version="2.0.1"))
    daemon.wait_event("generation.switched", generation=2)
    assert daemon.status()["refused"] == []
    home.append("a.log", "bad 8")
    assert_by(daemon, *["1.0.0"] * 7, "2.0.1")
    assert dead_letters(home) == []


def test_a_version_that_drops_lines_without_a_word_is_refused(home: Home) -> None:
    """It raises nothing and rejects nothing: there are fewer records."""
    daemon = serving(home, *LINES)
    home.drop("lines.py", worse("2.0.0", "bad 4", "return None"))
    refused = daemon.wait_event("artifact.refused")
    assert refused["reason"] == f"{RAISES}logs/a.log at 20: 'bad 4' yields no record{REMEDY}"


def test_a_version_that_hangs_on_a_recent_line_is_refused_at_its_deadline(home: Home) -> None:
    """The one in service parses what comes meanwhile."""
    daemon = serving(home, *LINES)
    hanging = worse("2.0.0", "bad 4", "time.sleep(60)", code="import time\n", manifest="limits = { time_s = 0.5 }")
    home.drop("lines.py", hanging)
    daemon.wait_event("generation.started", generation=2)
    home.append("a.log", "meanwhile")
    assert_by(daemon, *["1.0.0"] * 7)
    refused = daemon.wait_event("artifact.refused")
    assert refused["reason"].startswith(f"{RAISES}logs/a.log at 0: 'good 1\\nbad 2\\n")
    assert refused["reason"].endswith(f"' loses its worker: no answer within 0.5 s{REMEDY}")
    daemon.wait("its processes have ended", lambda: len(daemon.workers()) <= 2)


def test_a_version_that_dies_on_a_recent_line_is_refused(home: Home) -> None:
    """What killed it is not looked for: the message has the piece of input."""
    daemon = serving(home, *LINES)
    home.drop("lines.py", worse("2.0.0", "bad 4", "os._exit(7)", code="import os\n"))
    refused = daemon.wait_event("artifact.refused")
    assert refused["reason"].endswith(f"loses its worker: exit status 7{REMEDY}")
    home.append("a.log", "bad 7")
    assert_by(daemon, *["1.0.0"] * 7)


def test_other_keys_are_a_warning(home: Home) -> None:
    """The version goes live, and the log shows which records have what other keys."""
    daemon = serving(home, *LINES)
    home.drop("lines.py", plugin(version="2.0.0").replace('"line": line', '"line": line, "size": len(line)'))
    differed = daemon.wait_event("trial.differed")
    assert differed["level"] == "warning"
    assert differed["differences"].startswith(
        "logs/a.log at 0: 'good 1' also has size; logs/a.log at 7: 'bad 2' also has size; "
    )
    assert differed["differences"].endswith("also has size; and more")
    assert daemon.wait_event("generation.tried")["changes"] == 4
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "last")
    assert_by(daemon, *["1.0.0"] * 6, "2.0.0")


def test_in_mode_warn_what_regresses_is_said_and_goes_live(home: Home) -> None:
    """The operator has decided; the log has what they have decided."""
    daemon = serving(home, *LINES, more='[plugins.trial]\nmode = "warn"\n')
    home.drop("lines.py", worse("2.0.0", "bad 4"))
    differed = daemon.wait_event("trial.differed")
    assert differed["differences"] == "logs/a.log at 20: 'bad 4' is not parsed: ValueError: bad 4"
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "good 7", "bad 4")
    assert_by(daemon, *["1.0.0"] * 6, "2.0.0")
    assert daemon.wait_all_read()["dead_letters"] == {"lines": 1}


def test_in_mode_off_nothing_is_tried(home: Home) -> None:
    """No event, no comparison."""
    daemon = serving(home, *LINES, more='[plugins.trial]\nmode = "off"\n')
    home.drop("lines.py", worse("2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    assert not daemon.seen("generation.tried")


@pytest.mark.parametrize(("allowed", "stage"), [(4, "switched"), (3, "refused")])
def test_as_many_regressions_as_are_allowed_pass(home: Home, allowed: int, stage: str) -> None:
    """One more is refused."""
    daemon = serving(home, *LINES, more=f"[plugins.trial]\nregressions = {allowed}\n")
    home.drop("lines.py", worse("2.0.0"))
    if stage == "switched":
        daemon.wait_event("generation.switched", generation=2)
    else:
        assert daemon.wait_event("artifact.refused")["stage"] == "tried"
    assert daemon.wait_event("generation.tried")["regressions"] == 4


def test_sighup_tries_again_under_other_settings(home: Home) -> None:
    """As the refusal says: allow it, and it goes live."""
    daemon = serving(home, *LINES)
    home.drop("lines.py", worse("2.0.0"))
    daemon.wait_event("artifact.refused")
    home.configure("[plugins.trial]\nregressions = 9\n")
    daemon.hup()
    daemon.wait_event("generation.switched", generation=2)
    assert daemon.status()["refused"] == []


def test_keeping_less_holds_from_the_reload_on(home: Home) -> None:
    """With nothing kept there is nothing to try with."""
    daemon = serving(home, *LINES)
    home.configure("[plugins.trial]\nkeep_kib = 0\n")
    daemon.hup()
    daemon.wait_event("config.reloaded")
    home.drop("lines.py", worse("2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    assert not daemon.seen("generation.tried")


def test_lines_that_the_one_in_service_fails_too_are_no_regression(home: Home) -> None:
    """However each says so: one rejects the line, the other raises on the batch."""
    raising = (
        "\n\nclass _Raises:\n"
        "    def parse(self, data, ctx):\n"
        "        for line in data.decode().splitlines():\n"
        "            if line.startswith('bad'):\n"
        "                raise ValueError('other words')\n"
        "            yield parse(line)\n"
    )
    daemon = serving(home, *LINES, source=worse("1.0.0"))
    home.drop("lines.py", plugin(version="2.0.0", code=raising).replace("return each_line(parse)", "return _Raises()"))
    daemon.wait_event("generation.switched", generation=2)
    assert daemon.wait_event("generation.tried")["regressions"] == 0


def test_header_lines_come_with_the_input(home: Home) -> None:
    """A version that needs the header gets the one that the input had."""
    code = (
        "\n\nclass _Table:\n"
        "    def parse(self, data, ctx):\n"
        "        names = ctx.header.decode().strip().split(',')\n"
        "        for line in data.decode().splitlines():\n"
        "            values = dict(zip(names, line.split(','), strict=True))\n"
        "            yield {'line': values['id'], 'by': BY}\n"
    )

    def table(version: str, column: str = "id") -> str:
        source = plugin(version=version, manifest="header = 1", code=code.replace("['id']", f"[{column!r}]"))
        return source.replace("BY", repr(version)).replace("return each_line(parse)", "return _Table()")

    daemon = serving(home, "id,name", "1,one", "2,two", source=table("1.0.0"))
    home.drop("lines.py", table("2.0.0", "number"))
    refused = daemon.wait_event("artifact.refused")
    assert refused["reason"].startswith(f"{RAISES}logs/a.log at 8: '1,one' is not parsed: KeyError: 'number' (")
    home.drop("lines.py", table("2.0.1"))
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "3,three")
    assert_by(daemon, "1.0.0", "1.0.0", "2.0.1")


BY_TEXT = """

class _ByText:
    def parse(self, data, ctx):
        if b'bad' in data and BAD:
            raise ValueError('bad')
        yield {'line': data.decode(), 'by': BY}
"""


def by_text(version: str, bad: bool, manifest: str) -> str:
    """Return a plugin that makes one record of what it is handed."""
    code = BY_TEXT.replace("BAD", str(bad)).replace("'by': BY", f"'by': {version!r}")
    return plugin(version=version, manifest=manifest, code=code).replace("return each_line(parse)", "return _ByText()")


def test_a_record_of_several_lines_is_shown_whole(home: Home) -> None:
    """The message has all of its lines."""
    manifest = 'framing = { kind = "multiline", start = "^# " }'

    def records(version: str, does: str = "pass") -> str:
        code = (
            "\n\nclass _Records:\n"
            "    def parse(self, data, ctx):\n"
            "        for text in data.decode().split('# ')[1:]:\n"
            "            if 'bad' in text:\n"
            f"                {does}\n"
            f"            yield {{'line': text, 'by': {version!r}}}\n"
        )
        return plugin(version=version, manifest=manifest, code=code).replace(
            "return each_line(parse)", "return _Records()"
        )

    daemon = serving(home, "# 1", " more", "# 2", "bad", "# 3", source=records("1.0.0"))
    home.drop("lines.py", records("2.0.0", "raise ValueError('no')"))
    refused = daemon.wait_event("artifact.refused")
    assert refused["reason"].startswith(f"{RAISES}logs/a.log at 10: '# 2\\nbad' is not parsed: ValueError: no (")


def test_a_whole_document_is_tried_as_one(home: Home) -> None:
    """One document, one record, one regression."""
    manifest = 'framing = "whole"'
    daemon = serving(home, "<bad>", "</bad>", source=by_text("1.0.0", False, manifest))
    home.drop("lines.py", by_text("2.0.0", True, manifest))
    refused = daemon.wait_event("artifact.refused")
    assert refused["reason"].startswith(f"{RAISES}logs/a.log at 0: '<bad>\\n</bad>' is not parsed: ValueError: bad (")
    assert daemon.wait_event("generation.tried")["records"] == 1


def test_a_wheel_is_tried_like_a_file(home: Home) -> None:
    """What it is tried with was parsed by the file."""
    daemon = serving(home, *LINES)
    name, content = wheel(version="2.0.0")
    home.drop(name, content)
    daemon.wait_event("generation.switched", generation=2)
    tried = daemon.wait_event("generation.tried")
    assert (tried["records"], tried["regressions"], tried["changes"]) == (6, 0, 0)


def test_the_stand_by_serves_when_a_higher_version_is_refused(home: Home) -> None:
    """Beside each other: the higher one is tried, and the lower one never stops."""
    daemon = serving(home, *LINES)
    home.drop("zz.py", worse("2.0.0"))
    refused = daemon.wait_event("artifact.refused", path="plugins.d/zz.py")
    assert refused["reason"].startswith("plugins.d/zz.py: no longer parses")
    daemon.rescan()
    home.append("a.log", "bad 7")
    assert_by(daemon, *["1.0.0"] * 7)
    (home.plugins / "zz.py").unlink()
    daemon.wait("nothing is refused", lambda: not daemon.status()["refused"])


def test_recent_input_survives_a_restart(home: Home) -> None:
    """A version that arrives long after a restart is tried with what was parsed before it."""
    daemon = serving(home, *LINES)
    assert daemon.term() == 0
    daemon = home.start()
    daemon.wait_event("generation.switched", generation=1)
    home.drop("lines.py", worse("2.0.0"))
    refused = daemon.wait_event("artifact.refused")
    assert refused["reason"].startswith(f"{RAISES}logs/a.log at 7: 'bad 2' is not parsed")
    assert daemon.plugin("lines")["generation"] == 1


def test_a_file_replaced_while_the_daemon_was_stopped_is_tried_against_what_served(home: Home) -> None:
    """It is refused as it would have been, and what served before serves, under its number."""
    daemon = serving(home, *LINES)
    assert daemon.term() == 0
    home.drop("lines.py", worse("2.0.0"))
    home.append("a.log", "bad 7")
    daemon = home.start()
    refused = daemon.wait_event("artifact.refused")
    assert refused["reason"].startswith(f"{RAISES}logs/a.log at 7: 'bad 2' is not parsed")
    assert_by(daemon, *["1.0.0"] * 7)
    daemon.wait_all_read()
    status = daemon.plugin("lines")
    assert status is not None
    assert (status["generation"], status["state"], status["records"]) == (1, "permanent", 7)
    assert [each["stage"] for each in daemon.status()["refused"]] == ["tried"]
    home.drop("lines.py", plugin(version="2.0.1"))
    daemon.wait_event("generation.switched", generation=2, took_over_from=1)


def test_a_good_file_replaced_while_the_daemon_was_stopped_parses_all_that_waited(home: Home) -> None:
    """What served before is started for the comparison alone: not one line goes to it."""
    daemon = serving(home, *LINES)
    assert daemon.term() == 0
    home.drop("lines.py", plugin(version="2.0.0"))
    home.append("a.log", *(f"waits {number}" for number in range(2000)))
    daemon = home.start()
    assert_by(daemon, *["1.0.0"] * 6, *["2.0.0"] * 2000)
    assert daemon.wait_event("generation.tried")["records"] == 6
    daemon.wait_event("generation.retired", generation=1)
    assert daemon.wait_event("generation.switched", plugin="lines")["generation"] == 2
    daemon.wait("only one worker is left", lambda: len(daemon.workers()) == 1)


def test_a_file_removed_while_the_daemon_was_stopped_is_no_measure_for_the_next(home: Home) -> None:
    """Who took it away did not want it any more."""
    daemon = serving(home, *LINES)
    assert daemon.term() == 0
    (home.plugins / "lines.py").unlink()
    daemon = home.start()
    assert daemon.rescan() == []
    home.drop("other_name.py", worse("2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    assert not daemon.seen("generation.tried")


def test_a_current_version_that_cannot_start_any_more_does_not_stop_the_next(home: Home) -> None:
    """Its workers have ended, and what it needs is gone: it tells nothing, and the one that does without goes live."""
    home.configure(sandbox="off")  # the plugin needs a file
    needed = home.path / "needed"
    needed.touch()
    daemon = serving(
        home, *LINES, more="[workers]\nidle_s = 0.1\n", source=plugin(code=f"open({str(needed)!r}).close()\n")
    )
    daemon.wait("its worker has ended", lambda: not daemon.workers())
    needed.unlink()
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "last")
    assert_by(daemon, *["1.0.0"] * 6, "2.0.0")


def test_a_changed_option_is_tried_too(home: Home) -> None:
    """The same bytes with another option can be worse."""
    code = (
        "from pydantic import BaseModel\n\n\nclass Options(BaseModel):\n    refuses: str = 'nothing'\n\n\n"
        "class _Choosy:\n"
        "    def parse(self, data, ctx):\n"
        "        for line in data.decode().splitlines():\n"
        "            if line.startswith(ctx.options.refuses):\n"
        "                raise ValueError(line)\n"
        "            yield {'line': line, 'by': ctx.options.refuses}\n"
    )
    daemon = serving(home, *LINES, source=plugin(code=code).replace("return each_line(parse)", "return _Choosy()"))
    home.configure("[plugins.options.lines]\nrefuses = 'bad'\n")
    daemon.hup()
    assert daemon.wait_event("artifact.refused")["stage"] == "tried"
    home.append("a.log", "bad 7")
    assert_by(daemon, *["nothing"] * 7)
