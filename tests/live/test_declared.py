"""A format without code is a plugin like any other: dropped in, replaced, broken, removed, while hostd runs."""

from .harness import Home

FORMAT = """\
version = "{version}"
accepts = {{ names = ["*.log"] }}
grok = '%{{WORD:item}} %{{NUMBER:count:{kind}}}'
{more}
[constants]
by = "{version}"
"""


def declared(version: str = "1.0.0", kind: str = "int", more: str = "") -> str:
    """Return a format without code whose records say which version made them."""
    return FORMAT.format(version=version, kind=kind, more=more)


def test_a_dropped_format_serves_the_next_batch(home: Home) -> None:
    """Records, rejects with their reasons, and the status, as of a plugin with code."""
    daemon = home.start()
    home.append("a.log", "lamp 2", "chair", "desk 1")
    daemon.wait_event("source.unrouted", source="logs/a.log")
    home.drop("orders.toml", declared())
    switched = daemon.wait_event("generation.switched", plugin="orders")
    assert (switched["generation"], switched["version"]) == (1, "1.0.0")
    assert daemon.wait_records("orders", 2) == [
        {"item": "lamp", "count": 2, "by": "1.0.0", "@source": "logs/a.log"},
        {"item": "desk", "count": 1, "by": "1.0.0", "@source": "logs/a.log"},
    ]
    rejected = daemon.wait_event("record.rejected", plugin="orders")
    assert (rejected["reason"], rejected["preview"]) == (
        "does not match grok: it ends too early, after 'chair'",
        "chair",
    )
    daemon.wait_all_read()
    status = daemon.plugin("orders")
    assert status is not None
    assert (status["version"], status["records"], status["rejected"]) == ("1.0.0", 2, 1)


def test_a_new_version_takes_over_and_a_broken_one_does_not(home: Home) -> None:
    """Tried on recent input; refused with file, line and way out, while the other goes on; rolled back; removed."""
    home.drop("orders.toml", declared())
    home.append("a.log", "lamp 2")
    daemon = home.start()
    daemon.wait_records("orders", 1)
    home.drop("orders.toml", declared("1.1.0", "float"))
    tried = daemon.wait_event("generation.tried", plugin="orders", generation=2)
    assert (tried["records"], tried["regressions"]) == (1, 0)
    daemon.wait_event("generation.switched", plugin="orders", generation=2, took_over_from=1)
    home.append("a.log", "chair 3")
    assert daemon.wait_records("orders", 2)[1]["by"] == "1.1.0"
    home.drop("orders.toml", declared("1.2.0").replace("%{WORD:item}", "%{WROD:item}"))
    refused = daemon.wait_event("artifact.refused", path="plugins.d/orders.toml")
    assert refused["stage"] == "checked"
    assert refused["reason"] == (
        "plugins.d/orders.toml:3: field 'grok' has %{WROD:item}, and no pattern is called 'WROD'; "
        "did you mean 'WORD'? (your own go into [patterns])"
    )
    assert refused["serving"] == "generation 2 (1.1.0)"
    home.append("a.log", "desk 1")
    assert daemon.wait_records("orders", 3)[2]["by"] == "1.1.0"
    assert home.hostd("rollback", "orders").stdout.startswith("orders is rolled back: generation 1 serves\n")
    home.append("a.log", "rug 5")
    assert daemon.wait_records("orders", 4)[3]["by"] == "1.0.0"
    (home.plugins / "orders.toml").unlink()
    daemon.wait("the format is gone", lambda: daemon.plugin("orders") is None)


def test_what_no_longer_parses_recent_input_is_refused(home: Home) -> None:
    """The trial and the samples hold for it too."""
    home.drop("orders.toml", declared())
    home.append("a.log", "lamp 2")
    daemon = home.start()
    daemon.wait_records("orders", 1)
    home.drop("orders.toml", declared("2.0.0", "bool"))
    refused = daemon.wait_event("artifact.refused", path="plugins.d/orders.toml", stage="tried")
    assert "'lamp 2' is not parsed: field 'count': '2' is no bool" in refused["reason"]
    sample = '[[samples]]\ninput = "lamp 2"\nrecords = [{ item = "lamp", count = 3, by = "2.1.0" }]\n'
    home.drop("orders.toml", declared("2.1.0", more="") + sample)
    refused = daemon.wait_event("artifact.refused", path="plugins.d/orders.toml", stage="started")
    assert refused["reason"] == (
        'plugins.d/orders.toml: sample 0: expected [{"item": "lamp", "count": 3, "by": "2.1.0"}], '
        'got [{"item": "lamp", "count": 2, "by": "2.1.0"}]; mend the format, or the sample'
    )


def test_the_dead_letters_of_a_format_are_parsed_again_when_it_is_mended(home: Home) -> None:
    """A line that did not match becomes a record of the version that takes it."""
    home.drop("orders.toml", declared())
    home.append("a.log", "lamp 2", "chair")
    daemon = home.start()
    daemon.wait_event("record.rejected", plugin="orders")
    home.drop("orders.toml", declared("1.1.0").replace(" %{NUMBER:count:int}", "(?: %{NUMBER:count:int})?"))
    replayed = daemon.wait_event("letters.replayed", plugin="orders", generation=2)
    assert (replayed["records"], replayed["rejected"]) == (1, 0)
    assert daemon.wait_records("orders", 2)[1] == {"item": "chair", "by": "1.1.0", "@source": "logs/a.log"}


def test_of_a_format_and_a_plugin_with_one_name_the_higher_version_serves(home: Home) -> None:
    """A format can stand in for code, and the other way round; the other is its stand-by."""
    home.append("a.log", "lamp 2")
    home.drop("orders.toml", declared())
    daemon = home.start()
    daemon.wait_records("orders", 1)
    home.drop("new.toml", 'name = "orders"\n' + declared("1.5.0"))
    daemon.wait_event("generation.switched", plugin="orders", version="1.5.0")
    standby = daemon.wait_event("artifact.standby", plugin="orders")
    assert standby["reason"] == (
        "plugins.d/orders.toml: stand-by: plugins.d/new.toml has orders 1.5.0; remove that file to go back to this one"
    )
    (home.plugins / "new.toml").unlink()
    daemon.wait_event("generation.switched", plugin="orders", version="1.0.0", generation=3)


def test_the_permanent_format_comes_back_after_a_restart_with_a_broken_file(home: Home) -> None:
    """Its bytes are kept like those of any plugin."""
    home.drop("orders.toml", declared())
    home.append("a.log", "lamp 2")
    daemon = home.start()
    daemon.wait_records("orders", 1)
    assert daemon.term() == 0
    home.drop("orders.toml", "grok = \n")
    daemon = home.start()
    daemon.wait_event("artifact.refused", path="plugins.d/orders.toml")
    home.append("a.log", "desk 1")
    assert daemon.wait_records("orders", 2)[1]["item"] == "desk"


def test_the_operators_zone_is_an_option(home: Home) -> None:
    """A time that names no zone is read by `time_zone`; a plugin that needs none takes no options."""
    fields = "[fields]\nt = { type = 'timestamp', format = '%Y-%m-%d %H:%M:%S' }\n"
    home.configure('[plugins.options.times]\ntime_zone = "+02:00"\n\n[plugins.options.orders]\ntime_zone = "UTC"\n')
    home.drop("times.toml", f"accepts = {{ names = ['*.log'] }}\nregex = '(?P<t>.{{19}}) (?P<what>.*)'\n{fields}")
    home.drop("orders.toml", declared())
    home.append("a.log", "2024-05-17 10:05:03 x")
    daemon = home.start()
    assert daemon.wait_records("times", 1) == [
        {"timestamp": "2024-05-17T08:05:03Z", "what": "x", "@source": "logs/a.log"}
    ]
    refused = daemon.wait_event("artifact.refused", path="plugins.d/orders.toml")
    assert refused["reason"].startswith("[plugins.options.orders]: plugin 'orders' takes no options")


def test_a_record_of_several_lines_is_one(home: Home) -> None:
    """`framing` cuts as for plugins with code, and the last field takes the lines that follow."""
    home.drop(
        "traces.toml",
        "accepts = { names = ['*.log'] }\nframing = { kind = 'multiline', start = '[A-Z]+ ' }\n"
        "grok = '%{WORD:level} %{GREEDYDATA:body}'\n[fields]\nlevel = 'severity'\n",
    )
    home.append("a.log", "WARN one", "  at x()", "INFO two")
    daemon = home.start()
    assert daemon.wait_records("traces", 2) == [
        {"severity_text": "WARN", "body": "one\n  at x()", "severity_number": 13, "@source": "logs/a.log"},
        {"severity_text": "INFO", "body": "two", "severity_number": 9, "@source": "logs/a.log"},
    ]


def test_a_proposed_format_is_one_that_the_daemon_takes(home: Home) -> None:
    """From example lines to records: new, check, drop in."""
    lines = [f"2024-05-17 10:05:{second:02} [pump-{second % 3}] INFO pressure {second}.5 bar" for second in range(20)]
    home.append("a.log", *lines)
    made = home.hostd("new", "pumps", "--from", "logs/a.log")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.splitlines() == [
        "wrote pumps.toml",
        "it parses 20 of 20 lines of logs/a.log (100.0 %)",
        "next: name its fields, then: hostd check pumps.toml && cp pumps.toml plugins.d/",
    ]
    assert home.hostd("new", "pumps", "--from", "logs/a.log").stderr == (
        "hostd: pumps.toml: is there already; choose another name, or move it away\n"
    )
    checked = home.hostd("check", "pumps.toml")
    assert (checked.returncode, checked.stdout) == (0, "pumps.toml: ok, pumps 0.1.0; 1 samples pass\n")
    home.drop("pumps.toml", (home.path / "pumps.toml").read_text())
    daemon = home.start()
    record = daemon.wait_records("pumps", 20)[7]
    assert record["timestamp"] == "2024-05-17T10:05:07Z"
    assert (record["severity_text"], record["text"], record["number"]) == ("INFO", "pump-1", 7.5)
