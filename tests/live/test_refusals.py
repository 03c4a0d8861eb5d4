"""A bad version never displaces a good one: it is refused once, with the file, the line and what to do."""

import shutil
from dataclasses import dataclass

import pytest

from .harness import REPOSITORY, Daemon, Home, plugin, wheel

GOOD = plugin()


@dataclass(frozen=True)
class Bad:
    """A file that must be refused: how it comes about, at which stage, and the whole message."""

    name: str
    content: str
    stage: str
    reason: str


BAD = [
    Bad(
        "syntax error",
        GOOD.replace("-> Processor:", "-> Processor"),
        "started",
        "plugins.d/lines.py:20: SyntaxError: expected ':'; mend line 20",
    ),
    Bad(
        "import error",
        plugin(code="import nothing_of_that_name\n"),
        "started",
        "plugins.d/lines.py:14: importing it raises ModuleNotFoundError: No module named 'nothing_of_that_name'; "
        "mend that line",
    ),
    Bad(
        "raises on import",
        plugin(code="raise RuntimeError('no licence')\n"),
        "started",
        "plugins.d/lines.py:14: importing it raises RuntimeError: no licence; mend that line",
    ),
    Bad(
        "factory missing",
        GOOD.replace("def new_processor", "def make"),
        "started",
        "plugins.d/lines.py: has no function new_processor(); "
        "define one that returns the processor: def new_processor(): …",
    ),
    Bad(
        "factory raises",
        GOOD.replace("    return each_line(parse)", "    return each_line(pars)"),
        "started",
        "plugins.d/lines.py:21: new_processor() raises NameError: name 'pars' is not defined; mend that line",
    ),
    Bad(
        "bad sample",
        plugin(manifest='samples = [{ input = "a\\n", records = [{ line = "b" }] }]'),
        "started",
        'plugins.d/lines.py: sample 0: expected [{"line": "b"}], got [{"line": "a", "by": "1.0.0"}]; '
        "mend parse, or the sample",
    ),
    Bad(
        "unknown manifest field",
        GOOD.replace("# accepts =", "# acepts ="),
        "checked",
        "plugins.d/lines.py:9: field 'acepts' is not known; did you mean 'accepts'?",
    ),
    Bad(
        "bad manifest value",
        GOOD.replace('"lines"', '"Lines!"'),
        "checked",
        "plugins.d/lines.py:6: field 'name' = 'Lines!': String should match pattern '^[a-z][a-z0-9_]{0,63}$'; "
        "correct that value",
    ),
    Bad(
        "missing manifest field",
        GOOD.replace('# version = "1.0.0"\n', ""),
        "checked",
        "plugins.d/lines.py:5: field 'version' is missing; add version = \"1.0.0\"",
    ),
    Bad(
        "no manifest",
        GOOD.replace("# /// script", "# script"),
        "checked",
        "plugins.d/lines.py:1: has no PEP 723 block; begin the file with one: # /// script … [tool.hostd] … # ///",
    ),
    Bad(
        "wrong contract",
        GOOD.replace(">=1.0,<2", ">=9"),
        "checked",
        "plugins.d/lines.py: asks for contract '>=9', and this hostd speaks 1.0 and 0.1; "
        'write contract = ">=1.0,<2" or ">=0.1,<1" if it works with that, or upgrade hostd',
    ),
    Bad(
        "wrong Python",
        GOOD.replace(">=3.11", ">=9.9"),
        "checked",
        "plugins.d/lines.py: needs Python >=9.9, and hostd runs on ",
    ),
    Bad(
        "dependencies",
        plugin(dependencies='"requests @ https://example.org/requests.whl"'),
        "prepared",
        "plugins.d/lines.py: depends on 'requests @ https://example.org/requests.whl', and where packages come from is "
        "the operator's choice; name a version; the operator puts the wheel into an index of uv's or a folder of "
        "[plugins] find_links",
    ),
]


@pytest.fixture
def serving(home: Home) -> Daemon:
    """A daemon whose plugin `lines` 1.0.0 has parsed a line."""
    home.drop("lines.py", GOOD)
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    return daemon


def test_failed_candidate_leaves_current_serving(serving: Daemon) -> None:
    """However a file is broken, the generation in service goes on, the refusal says what to mend, and mending swaps."""
    home = serving.home
    generation = 1
    for bad in BAD:
        home.drop("lines.py", bad.content)
        refused = serving.wait_event("artifact.refused", count=generation)
        assert refused["path"] == "plugins.d/lines.py", bad.name
        assert refused["plugin"] == "lines", bad.name
        assert refused["stage"] == bad.stage, bad.name
        assert refused["reason"].startswith(bad.reason), bad.name
        assert bad.name == "wrong Python" or refused["reason"] == bad.reason
        by = "1.0.0" if generation == 1 else f"1.0.{generation}"
        assert refused["serving"] == f"generation {generation} ({by})", bad.name
        home.append("a.log", bad.name)
        serving.wait_records("lines", 2 * generation)
        status = serving.status()
        assert status["plugins"][0]["generation"] == generation
        assert [(r["stage"], r["reason"]) for r in status["refused"]] == [(bad.stage, refused["reason"])]
        generation += 1
        home.drop("lines.py", plugin(version=f"1.0.{generation}"))
        serving.wait_event("generation.switched", plugin="lines", generation=generation)
        assert serving.status()["refused"] == []
        home.append("a.log", f"mended {bad.name}")
        last = serving.wait_records("lines", 2 * generation - 1)[-2:]
        assert [record["by"] for record in last] == [by, f"1.0.{generation}"]
    assert serving.term() == 0
    assert len(serving.seen("artifact.refused")) == len(BAD)  # each exactly once
    assert not serving.seen("source.unrouted")


def test_editing_in_place_until_it_works(serving: Daemon) -> None:
    """Saved broken, saved broken otherwise, saved whole, all over the same file: two refusals, one swap."""
    path = serving.home.plugins / "lines.py"
    for count, bad in enumerate(BAD[:2], start=1):
        path.write_text(bad.content)
        assert serving.wait_event("artifact.refused", count=count)["reason"] == bad.reason
    path.write_text(plugin(version="2.0.0"))
    serving.wait_event("generation.switched", plugin="lines", generation=2)
    serving.home.append("a.log", "second")
    assert serving.wait_records("lines", 2)[1]["by"] == "2.0.0"
    assert len(serving.seen("artifact.refused")) == 2


def test_going_back_to_the_bytes_in_service_is_no_swap(serving: Daemon) -> None:
    """A broken save undone leaves the generation that never stopped."""
    serving.home.drop("lines.py", BAD[0].content)
    serving.wait_event("artifact.refused")
    serving.home.drop("lines.py", GOOD)
    serving.wait("nothing is refused", lambda: not serving.rescan() and not serving.status()["refused"])
    status = serving.plugin("lines")
    assert status is not None
    assert (status["generation"], status["state"]) == (1, "permanent")


def test_the_misbehaving_examples_are_refused_each_by_what_is_wrong(home: Home) -> None:
    """Five broken files beside a good one: five refusals, each told apart, and the good one serves."""
    folder = REPOSITORY / "examples" / "plugins" / "misbehaving"
    expected = {
        "bad_sample": "sample 0: expected",
        "broken_syntax": ":17: SyntaxError: expected ':'",
        "no_manifest": ":1: has no PEP 723 block",
        "raises_on_import": ":19: importing it raises RuntimeError: the licence server does not answer",
        "wrong_contract": "asks for contract '>=9', and this hostd speaks 1.0 and 0.1",
    }
    for name in expected:
        shutil.copy(folder / f"{name}.py", home.plugins)
    home.drop("lines.py", GOOD)
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    for name, reason in expected.items():
        refused = daemon.wait_event("artifact.refused", path=f"plugins.d/{name}.py")
        assert reason in refused["reason"]
        assert refused["serving"] is None
    assert {refused["path"] for refused in daemon.status()["refused"]} == {
        str(home.plugins / f"{name}.py") for name in expected
    }
    assert daemon.term() == 0
    assert len(daemon.seen("artifact.refused")) == len(expected)


def test_a_damaged_wheel_is_refused_and_the_file_goes_on(serving: Daemon) -> None:
    """A wheel that is cut short, and one whose file differs from RECORD, are not unpacked."""
    name, content = wheel(version="2.0.0")
    serving.home.drop(name, content[: len(content) // 2])
    refused = serving.wait_event("artifact.refused")
    assert refused["reason"].startswith(f"plugins.d/{name}: is not a whole zip archive: ")
    assert refused["reason"].endswith("; build and copy it again")
    serving.home.drop(name, content.replace(b'return {"line"', b'return {"life"'))
    refused = serving.wait_event("artifact.refused", count=2)
    assert refused["stage"] == "checked"
    assert refused["path"] == f"plugins.d/{name}"
    serving.home.append("a.log", "second")
    assert serving.wait_records("lines", 2)[1]["by"] == "1.0.0"
    serving.home.drop(name, content)
    serving.wait_event("generation.switched", plugin="lines", version="2.0.0")


def test_a_candidate_that_ends_its_worker_is_refused(serving: Daemon) -> None:
    """os._exit at import kills a worker, not the daemon; the refusal says what to look for."""
    serving.home.drop("lines.py", plugin(code="import os\n\nos._exit(9)\n"))
    refused = serving.wait_event("artifact.refused")
    assert refused["reason"] == (
        "plugins.d/lines.py: its worker was lost while loading it: exit status 9; "
        "look for os._exit, native code, or an endless loop at import"
    )
    serving.home.append("a.log", "second")
    assert serving.wait_records("lines", 2)[1]["by"] == "1.0.0"


def test_one_slow_plugin_delays_no_other(home: Home) -> None:
    """While one file takes its time at import, another goes live and parses."""
    home.configure(sandbox="off")
    gate = home.path / "gate"
    wait = f"import pathlib\nimport time\n\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n"
    home.drop("slow.py", plugin("slow", glob="*.slow", code=wait))
    home.drop("lines.py", GOOD)
    home.append("a.log", "first")
    home.append("a.slow", "waits")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.switched", plugin="lines", generation=2)
    assert not daemon.seen("generation.switched", plugin="slow")
    assert home.records("slow") == []
    gate.touch()
    daemon.wait_records("slow", 1)
