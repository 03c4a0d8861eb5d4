"""Plugins with dependencies: environments of their own, side by side, shared, removed, and no hindrance to others."""

import json
from pathlib import Path

import pytest

from tests.libraries import SlowIndex, library

from .harness import Daemon, Home, eventually, plugin, wheel

PARSE = """
import os
import {module} as needed


def parse(line: str) -> Record:
    return {{"line": line, "by": "{version}", "needed": needed.VERSION, "pid": os.getpid()}}


def new_processor() -> Processor:
    return each_line(parse)
"""


def needing(
    requirement: str, *, name: str = "lines", version: str = "1.0.0", module: str = "tinylib", manifest: str = ""
) -> str:
    """Return a plugin for *.NAME that depends on `requirement`; its records say which version of it they saw."""
    head = plugin(name, version, glob=f"*.{name}", dependencies=f'"{requirement}"', manifest=manifest)
    return head.partition("\n\n\ndef parse")[0] + PARSE.format(module=module, version=version)


@pytest.fixture
def links(home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels in the settings, and a uv that knows of nothing else."""
    monkeypatch.setenv("UV_CACHE_DIR", str(home.path / "cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "60")
    folder = home.path / "links"
    for version in ("1.0", "2.0"):
        library(folder, "tinylib", version)
    use_links(home)
    return folder


def use_links(home: Home, more: str = "", find_links: str = '"links"', sandbox: str = "auto") -> None:
    home.configure(more, sandbox=sandbox)
    home.settings.write_text(
        home.settings.read_text().replace("[plugins]\n", f"[plugins]\nfind_links = [{find_links}]\n", 1)
    )


def environments(home: Home) -> set[str]:
    folder = home.state / "environments"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def zygotes(home: Home) -> set[int]:
    """Return the zygotes that live, by the name that they give themselves."""
    found = set()
    for pid in home.pids():
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == "hostd-zygote":
                found.add(pid)
        except OSError:
            continue
    return found


def record(daemon: Daemon, name: str, line: str) -> dict[str, object]:
    """Have a plugin parse one more line and return its record."""
    daemon.home.append(f"a.{name}", line)
    return daemon.wait(f"{line} by {name}", lambda: [r for r in daemon.home.records(name) if r["line"] == line])[0]


def test_two_versions_of_one_library_side_by_side(home: Home, links: Path) -> None:
    """Each plugin sees the one that it asked for, at the same time."""
    home.drop("one.py", needing("tinylib<2", name="one"))
    home.drop("two.py", needing("tinylib>=2", name="two"))
    daemon = home.start()
    assert record(daemon, "one", "x")["needed"] == "1.0"
    assert record(daemon, "two", "x")["needed"] == "2.0"
    assert record(daemon, "one", "y")["needed"] == "1.0"
    assert len(environments(home)) == 2


def test_another_version_than_hostds_own(home: Home, links: Path) -> None:
    """hostd's packages are not on a plugin's path: it gets its own pydantic, and what it did not ask for is not there.

    Nothing of its environment runs in the process that workers are forked from: no module, and no .pth file.
    """
    use_links(home, sandbox="off")  # the library leaves a trace in a file
    who = home.path / "imported_by"
    fake = f"import os\nwith open({str(who)!r}, 'a') as file:\n    file.write(f'{{os.getpid()}}\\n')\nVERSION = '1.0'\n"
    ran = home.path / "pth_ran"
    library(links, "pydantic", "1.0", files={"pydantic.py": fake, "evil.pth": f"import os; open({str(ran)!r}, 'w')\n"})
    code = needing(
        "pydantic<2", module="pydantic", manifest='samples = [{ input = "s\\n", records = [] , rejected = 1}]'
    )
    code = (
        code.replace('"pid": os.getpid()', '"others": others()')
        .replace(
            "\ndef new_processor",
            """
def others() -> list[str]:
    found = []
    for name in ("msgspec", "structlog", "packaging", "annotated_types"):
        try:
            __import__(name)
        except ImportError:
            continue
        found.append(name)
    return found


def new_processor""",
        )
        .replace('    return {"line"', '    if line == "s":\n        raise ValueError(line)\n    return {"line"')
    )
    home.drop("lines.py", code)
    home.drop("plain.py", plugin("plain", glob="*.plain", code="import pydantic\n", tag="plain"))
    daemon = home.start()
    made = record(daemon, "lines", "x")
    assert (made["needed"], made["others"]) == ("1.0", [])
    record(daemon, "plain", "x")
    importers = {int(pid) for pid in who.read_text().split()}
    assert daemon.seen("generation.started", plugin="lines")[0]["pid"] in importers
    assert not importers & (zygotes(home) | {daemon.pid})
    assert not ran.exists()


def test_options_need_the_pydantic_of_their_day(home: Home, links: Path) -> None:
    """The refusal says which pydantic the environment has, if it is another one."""
    library(links, "pydantic", "1.0", files={"pydantic.py": "VERSION = '1.0'\nclass BaseModel: ...\n"})
    options = "\n\nclass Options(needed.BaseModel):\n    field: int = 1\n"
    home.drop("lines.py", needing("pydantic<2", module="pydantic") + options)
    home.drop("plain.py", needing("tinylib", name="plain") + "\n\nclass Options:\n    pass\n")
    daemon = home.start()
    reasons = {name: daemon.wait_event("artifact.refused", plugin=name)["reason"] for name in ("lines", "plain")}
    end = "define Options as a pydantic.BaseModel, and depend on pydantic>=2"
    assert reasons == {
        "lines": f"plugins.d/lines.py: Options is no model of pydantic 2, and its environment has pydantic 1.0; {end}",
        "plain": f"plugins.d/plain.py: Options is no model of pydantic 2; {end}",
    }


def test_same_set_is_shared_outlives_a_restart_and_goes_with_the_last(home: Home, links: Path) -> None:
    """One folder and one zygote for two plugins, kept while one of them is there, installed once."""
    for name in ("one", "two"):
        home.drop(f"{name}.py", needing("tinylib<2", name=name))
    daemon = home.start()
    for name in ("one", "two"):
        record(daemon, name, "x")
    [environment] = environments(home)
    assert len(daemon.seen("environment.installed")) == 1
    assert daemon.seen("environment.installed")[0]["requirements"] == ["tinylib<2"]
    assert len(zygotes(home)) == 2, "the shared one, and that of the environment"
    assert daemon.term() == 0

    daemon = home.start()
    for name in ("one", "two"):
        record(daemon, name, "y")
    assert not daemon.seen("environment.installed")
    (home.plugins / "one.py").unlink()
    daemon.wait_event("generation.retired", plugin="one")
    record(daemon, "two", "z")
    assert environments(home) == {environment}
    (home.plugins / "two.py").unlink()
    daemon.wait_event("environment.removed", environment=environment)
    daemon.wait("its folder is gone", lambda: not environments(home))
    daemon.wait("its zygote is gone", lambda: len(zygotes(home)) == 1)


def test_what_served_last_keeps_its_environment(home: Home, links: Path) -> None:
    """A restart with a broken file in the folder, and nothing to install from, comes up on the last good one."""
    home.drop("lines.py", needing("tinylib<2"))
    daemon = home.start()
    record(daemon, "lines", "x")
    assert daemon.term() == 0
    home.drop("lines.py", "def broken(:\n")
    use_links(home, find_links="")
    daemon = home.start()
    assert record(daemon, "lines", "y")["needed"] == "1.0"
    assert not daemon.seen("environment.removed")


def test_unsatisfiable_is_refused_with_uvs_reason_and_the_old_one_serves(home: Home, links: Path) -> None:
    """As any other refusal."""
    home.drop("lines.py", needing("tinylib<2"))
    daemon = home.start()
    record(daemon, "lines", "x")
    home.drop("lines.py", needing("tinylib>=3", version="2.0.0"))
    refused = daemon.wait_event("artifact.refused")
    assert (refused["stage"], refused["serving"]) == ("prepared", "generation 1 (1.0.0)")
    assert refused["reason"].startswith(
        "plugins.d/lines.py: its dependencies cannot be installed (tinylib>=3): No solution found"
    )
    assert "you require tinylib>=3" in refused["reason"]
    assert record(daemon, "lines", "y")["by"] == "1.0.0"
    library(links, "tinylib", "3.0")
    assert daemon.rescan() == ["lines 2.0.0 is live as generation 2, taking over from 1 (1.0.0)"]
    assert record(daemon, "lines", "z")["needed"] == "3.0"
    daemon.wait("the old environment is gone", lambda: len(environments(home)) == 1)


def test_find_links_are_taken_over_by_a_rescan(home: Home, links: Path) -> None:
    """No restart for a folder more."""
    use_links(home, find_links="")
    home.drop("lines.py", needing("tinylib"))
    daemon = home.start()
    daemon.wait_event("artifact.refused", stage="prepared")
    use_links(home)
    assert daemon.rescan() == ["settings changed: plugins", "lines 1.0.0 is live as generation 1"]


def test_slow_resolution_delays_neither_others_nor_the_data(
    home: Home, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that does not answer is waited for by the plugin that needs it, and by nobody else.

    Not by other plugins, nor by a source that the slow one will take over, nor by the next version of the slow one.
    """
    monkeypatch.delenv("UV_OFFLINE")
    with SlowIndex(links) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        use_links(home, find_links="")
        home.drop("lines.py", plugin(glob="*.slow"))
        daemon = home.start()
        home.append("a.slow", "first")
        daemon.wait_records("lines", 1)
        accepts = 'accepts = { names = ["*.slow"], priority = 9 }'
        code = needing("tinylib", name="slow").replace('accepts = { names = ["*.slow"] }', accepts)
        home.drop("slow.py", code)
        assert index.asked.wait(20)

        home.drop("other.py", plugin("other", glob="*.other"))
        daemon.wait_event("generation.switched", plugin="other", deadline_s=5)
        assert record(daemon, "other", "x")["by"] == "1.0.0"
        home.drop("lines.py", plugin(version="1.1.0", glob="*.slow"))
        daemon.wait_event("generation.switched", plugin="lines", generation=2, deadline_s=5)
        home.append("a.slow", "second")
        assert [r["by"] for r in daemon.wait_records("lines", 2, deadline_s=5)] == ["1.0.0", "1.1.0"]
        assert not daemon.seen("artifact.refused")

        home.drop(
            "slow.py",
            code.replace('"tinylib"', "")
            .replace("import tinylib as needed", "needed = Processor")
            .replace("needed.VERSION", "'none'"),
        )
        daemon.wait_event("generation.switched", plugin="slow", deadline_s=5)
        home.append("a.slow", "third")
        assert [r["needed"] for r in daemon.wait_records("slow", 1)] == ["none"]
        assert not index.release.is_set()
        daemon.wait("nothing of the first attempt is left", lambda: not environments(home))


def test_kill_9_in_the_middle_of_an_install_leaves_nothing_half_made(
    home: Home, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process goes on with it, and the next start installs it anew."""
    monkeypatch.delenv("UV_OFFLINE")
    with SlowIndex(links) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        use_links(home, find_links="")
        home.drop("slow.py", needing("tinylib", name="slow"))
        daemon = home.start()
        assert index.asked.wait(20)
        daemon.kill9()
        [half] = environments(home)
        assert half.startswith(".")

        index.asked.clear()
        daemon = home.start()
        assert index.asked.wait(20)
        daemon.wait("what the killed daemon left is gone", lambda: half not in environments(home))
        index.release.set()
        assert record(daemon, "slow", "x")["needed"] == "2.0"
        [whole] = environments(home)
        assert whole == daemon.seen("environment.installed")[0]["environment"]


def test_stop_in_the_middle_of_an_install_leaves_nothing(
    home: Home, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM does not wait for an index."""
    monkeypatch.delenv("UV_OFFLINE")
    with SlowIndex(links) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        use_links(home, find_links="")
        home.drop("slow.py", needing("tinylib", name="slow"))
        daemon = home.start()
        assert index.asked.wait(20)
        assert daemon.term(deadline_s=5) == 0
        assert environments(home) == set()


def test_wheel_with_dependencies(home: Home, links: Path) -> None:
    """Its metadata says what it needs; check and parse take the same path as the daemon."""
    name, content = wheel(requires=("tinylib<2", "nonsense; python_version < '3'"), code="import tinylib\n")
    path = home.drop(name, content)
    daemon = home.start()
    home.append("a.log", "x")
    daemon.wait_records("lines", 1)
    assert daemon.seen("environment.installed")[0]["requirements"] == ["tinylib<2"]

    checked = home.hostd("check", str(path), "--json")
    assert json.loads(checked.stdout)[0]["ok"], checked.stdout
    parsed = home.hostd("parse", "logs/a.log")
    assert (parsed.returncode, parsed.stderr) == (0, "")
    assert json.loads(parsed.stdout)["line"] == "x"
    home.drop(name, wheel(requires=("tinylib>9",))[1])
    refused = daemon.wait_event("artifact.refused")
    report = json.loads(home.hostd("check", str(path), "--json").stdout)[0]
    assert (report["stage"], report["reason"]) == (refused["stage"], refused["reason"])


def test_idle_environment_costs_no_process(home: Home, links: Path) -> None:
    """Its zygote ends after its workers have, and is there again for the next batch."""
    use_links(home, "[workers]\nidle_s = 0.2\n")
    home.drop("lines.py", needing("tinylib"))
    daemon = home.start()
    for number in range(3):
        record(daemon, "lines", f"line {number}")
        retired = daemon.wait_event("zygote.retired", count=number + 1)
        assert retired["reason"] == "idle for 0.2 s"
        eventually("nothing of it runs", lambda: len(zygotes(home)) == 1 and len(home.pids()) <= 3)
    assert not daemon.seen("zygote.exited")
    assert not daemon.seen("worker.exited")
