"""Long batches through the daemon: each line once and in order, whatever their parts do together."""

from .harness import REPOSITORY, Home, plugin

LINES = [f"{number:07}" + "x" * 92 for number in range(20_000)]
"""Two million bytes: a few short batches tell how fast the plugin is, and the others are long."""
SMALL = "limits = { batch_kib = 16, output_mib = 1 }"


def test_every_line_comes_out_once_and_in_order(home: Home) -> None:
    """What parse is handed is never more than its manifest says."""
    source = plugin(manifest="limits = { batch_kib = 16 }").replace("    return each_line(parse)", "    return P()")
    source += (
        "\n\nclass P:\n    def parse(self, data, ctx):\n        assert len(data) <= 16 << 10\n"
        "        at = ctx.offset\n        for raw in data.splitlines(keepends=True):\n"
        '            yield {"line": raw.decode().rstrip("\\n"), "at": at}\n            at += len(raw)\n'
    )
    home.drop("lines.py", source)
    home.append("a.log", *LINES)
    daemon = home.start()
    records = daemon.wait_records("lines", len(LINES))
    assert [record["line"] for record in records] == LINES
    assert [record["at"] for record in records] == [100 * number for number in range(len(LINES))]
    assert not daemon.seen("batch.retried")


def test_a_quoted_record_is_whole_whichever_parts_it_lies_between(home: Home) -> None:
    """Line feeds in it are no ends, and a part that begins inside of it would make two of it."""
    source = (REPOSITORY / "plugins.d" / "csv.py").read_text()
    home.drop("csv.py", source.replace("# header = 1", "# header = 1\n# limits = { batch_kib = 16 }", 1))
    notes = [f"{number}\n" + "quoted\n" * (number % 40) for number in range(8000)]
    home.append("a.csv", "number,note", *(f'{number},"{note}"' for number, note in enumerate(notes)))
    daemon = home.start()
    records = daemon.wait_records("csv", len(notes))
    assert [(record["number"], record["note"]) for record in records] == [
        (str(number), note) for number, note in enumerate(notes)
    ]
    assert not daemon.seen("record.rejected")


def test_parts_that_yield_too_much_together_are_cut_anew(home: Home) -> None:
    """A record may be sixty times as long as its line; the worker that says so lives on."""
    home.drop("lines.py", plugin(manifest=SMALL).replace('"line": line,', '"line": line, "more": "y" * 3000,'))
    home.append("a.log", *LINES[:5000])
    daemon = home.start()
    records = daemon.wait_records("lines", 5000)
    assert [record["line"] for record in records] == LINES[:5000]
    assert not daemon.seen("batch.retried")
    assert not daemon.seen("worker.exited")


def test_a_plugin_that_forges_answers_ends_no_more_than_its_own_batches(home: Home) -> None:
    """It says that its batches are too much, whatever they are: they are dead letters, and others are parsed."""
    forged = "\nfrom hostd.workers import wire\nwire.Parsed = lambda *answer: wire.Crowded(answer[-1])\n"
    home.drop("lines.py", plugin())
    home.drop("forges.py", plugin("forges", glob="*.forged", manifest=SMALL, code=forged))
    home.append("a.forged", *LINES[:3000])
    daemon = home.start()
    daemon.wait_event("batch.retried", plugin="forges")
    home.append("a.log", "1")
    daemon.wait_records("lines", 1)
    assert "answered Parse with Crowded" in daemon.seen("batch.retried", plugin="forges")[0]["reason"]
