"""Environments: which a plugin needs, installed by uv, shared, and removed."""

import asyncio
import sys
import tarfile
from collections.abc import Coroutine
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hostd.errors import Refusal, Stage
from hostd.plugins import install
from hostd.plugins.artifact import Artifact
from hostd.plugins.environment import Environments
from tests.build import artifact
from tests.libraries import SlowIndex, library


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, and a uv that knows of nothing else."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    folder = tmp_path / "links"
    for version in ("1.0", "2.0"):
        library(folder, "tinylib", version)
    library(folder, "other", "1.0", requires=("tinylib<2",))
    return folder


@pytest.fixture
def environments(tmp_path: Path, links: Path) -> Environments:
    """Environments in a folder that is not there yet."""
    return Environments(tmp_path / "environments", (links,))


def needing(tmp_path: Path, *requirements: str, name: str = "demo") -> Artifact:
    """Return a plugin that depends on these."""
    return artifact(tmp_path, file=f"{name}.py", name=name, top=f"dependencies = {list(requirements)!r}")


def refusal(preparing: Coroutine[Any, Any, None]) -> Refusal:
    """Return what preparing is refused with."""
    with pytest.raises(Refusal) as caught:
        asyncio.run(preparing)
    assert caught.value.stage is Stage.PREPARED
    assert caught.value.where == "plugins.d/demo.py"
    return caught.value


def left(tmp_path: Path) -> list[str]:
    """Return what lies in the folder of environments."""
    return [path.name for path in (tmp_path / "environments").iterdir()]


def users_of(tmp_path: Path) -> list[str]:
    """Return the processes that install into that folder."""
    mark = str(tmp_path / "environments").encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if mark in command:
            found.append(command.decode())
    return found


@pytest.mark.parametrize(
    "requirements",
    [(), ("pydantic>=2", "msgspec"), ("hostd>=0.0.1", "Pydantic"), ("x; python_version < '3'",), ("pyarrow>=15",)],
    ids=str,
)
def test_what_the_shared_environment_has_needs_no_other(
    tmp_path: Path, environments: Environments, requirements: tuple[str, ...]
) -> None:
    """Nothing is installed, and uv is not even called."""
    found = needing(tmp_path, *requirements)
    assert environments.packages(found) == ""
    asyncio.run(environments.prepare(found))
    assert not (tmp_path / "environments").exists()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (("Tiny_Lib >= 1, <2", "b"), ("b", "tiny-lib<2,>=1", "b"), True),
        (("tinylib",), ("tinylib", "hostd", "x; python_version < '3'"), True),
        (("tinylib",), ("tinylib", "pydantic"), False),
        (("tinylib<2",), ("tinylib<3",), False),
        (("tinylib[x]",), ("tinylib",), False),
    ],
)
def test_an_environment_is_named_by_its_requirements(
    tmp_path: Path, environments: Environments, one: tuple[str, ...], other: tuple[str, ...], is_same: bool
) -> None:
    """Equal sets share one, however they are written."""
    first, second = (environments.packages(needing(tmp_path, *each)) for each in (one, other))
    assert (first == second) is is_same
    assert Path(first).parent == tmp_path / "environments"


@pytest.mark.parametrize("requirement", ["pydantic[email]", "pydantic<2", "msgspec>=99", "pydantic-core"])
def test_what_the_shared_environment_does_not_quite_have_is_installed(
    tmp_path: Path, environments: Environments, requirement: str
) -> None:
    """Another version than hostd's own is as good a dependency as any."""
    assert environments.packages(needing(tmp_path, requirement))


def test_a_library_of_an_extra_is_shared_only_where_it_is_installed(
    tmp_path: Path, environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without hostd[parquet] a plugin that needs pyarrow has an environment of its own, like any other."""

    def none(distribution: str) -> str:
        raise metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr("hostd.plugins.requirements._version", none)
    assert environments.packages(needing(tmp_path, "pyarrow>=15"))


def test_prepared_environment_is_whole_and_made_once(tmp_path: Path, environments: Environments) -> None:
    """With what its requirements require; the next that needs it finds it there."""
    found = needing(tmp_path, "other")

    with capture_logs() as logged:
        asyncio.run(environments.prepare(found))
        asyncio.run(environments.prepare(found))
    packages = Path(environments.packages(found))
    assert (packages / "other.py").exists()
    assert '"1.0"' in (packages / "tinylib.py").read_text()
    assert list((packages / "__pycache__").glob("other.*.pyc")), "each worker would have to compile it again"
    assert left(tmp_path) == [packages.name]
    [event] = logged
    assert (event["event"], event["environment"], event["requirements"]) == (
        "environment.installed",
        packages.name,
        ["other"],
    )


def test_two_that_need_the_same_share_one_run(tmp_path: Path, environments: Environments) -> None:
    """Also when they come at once."""

    async def both() -> None:
        await asyncio.gather(
            environments.prepare(needing(tmp_path, "tinylib<2", name="one")),
            environments.prepare(needing(tmp_path, "tinylib<2", name="two")),
        )

    with capture_logs() as logged:
        asyncio.run(both())
    assert [event["event"] for event in logged] == ["environment.installed"]


def test_unsatisfiable_requirements_are_refused_with_uvs_reason(tmp_path: Path, environments: Environments) -> None:
    """In one line, and for good: nothing but another file or another wheel changes it."""
    error = refusal(environments.prepare(needing(tmp_path, "tinylib>=2", "other")))
    assert error.problem.startswith("its dependencies cannot be installed (other, tinylib>=2): No solution found")
    assert "all versions of other depend on tinylib<2" in error.problem
    assert "\n" not in error.problem
    assert not error.transient
    assert left(tmp_path) == []


def test_nothing_is_built(tmp_path: Path, links: Path, environments: Environments) -> None:
    """To build is to run foreign code as the daemon's user: a source distribution is no dependency."""
    project, built = tmp_path / "sourced-1.0", tmp_path / "built"
    project.mkdir()
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: sourced\nVersion: 1.0\n")
    (project / "setup.py").write_text(f"open({str(built)!r}, 'w')\n")
    with tarfile.open(links / "sourced-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, "sourced-1.0")
    error = refusal(environments.prepare(needing(tmp_path, "sourced")))
    assert "building from source is disabled" in error.problem
    assert not built.exists()


@pytest.mark.parametrize("url", ["https://example.org/x.whl", "file:///x.whl", "git+https://example.org/x"])
def test_a_plugin_does_not_choose_where_packages_come_from(
    tmp_path: Path, environments: Environments, url: str
) -> None:
    """The operator does, by uv's settings: also for what the shared environment has."""
    error = refusal(environments.prepare(needing(tmp_path, f"pydantic @ {url}")))
    assert error.problem == f"depends on 'pydantic @ {url}', and where packages come from is the operator's choice"
    assert not error.transient


def test_another_hostd_is_refused(tmp_path: Path, environments: Environments) -> None:
    """It is the one thing that cannot be installed beside the daemon."""
    error = refusal(environments.prepare(needing(tmp_path, "hostd>=99", "tinylib")))
    assert error.problem.startswith("depends on 'hostd>=99', and this is hostd 0.")


def test_without_uv_the_refusal_says_how_to_get_it(
    tmp_path: Path, environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra: who has no plugins with dependencies does without."""
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refusal(environments.prepare(needing(tmp_path, "tinylib")))
    assert error.problem.endswith("(tinylib): uv, which installs them, is not there")
    assert error.remedy == "pip install 'hostd[environments]', or put uv on the daemon's PATH"


def test_uv_on_the_path_will_do(tmp_path: Path, environments: Environments, monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not be installed beside hostd."""
    import uv

    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "uv").symlink_to(uv.find_uv_bin())
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", str(folder))
    asyncio.run(environments.prepare(needing(tmp_path, "tinylib")))
    assert len(left(tmp_path)) == 1


def test_unreachable_index_is_refused_for_now(
    tmp_path: Path, environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be back in a minute, and is tried again."""
    monkeypatch.delenv("UV_OFFLINE")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    error = refusal(environments.prepare(needing(tmp_path, "nowhere")))
    assert "http://127.0.0.1:9/simple/nowhere/" in error.problem
    assert error.transient
    assert left(tmp_path) == []


def test_a_slow_index_is_given_up_in_the_end(
    tmp_path: Path, links: Path, environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What never answers holds no process."""
    monkeypatch.setattr(install, "TIMEOUT_S", 2.0)
    monkeypatch.delenv("UV_OFFLINE")
    with SlowIndex(links) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        error = refusal(environments.prepare(needing(tmp_path, "nowhere")))
    assert error.problem.endswith("uv did not end within 2 s")
    assert error.transient
    assert users_of(tmp_path) == []
    assert left(tmp_path) == []


def test_run_goes_on_while_one_plugin_waits_for_it_and_ends_with_the_last(
    tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gives up leaves the others what they wait for, and the last one leaves nothing."""
    monkeypatch.delenv("UV_OFFLINE")
    environments = Environments(tmp_path / "environments")
    found = needing(tmp_path, "tinylib<2")

    async def scenario(index: SlowIndex, *, give_up: int) -> None:
        waiting = [asyncio.create_task(environments.prepare(found)) for _ in range(2)]
        assert await asyncio.to_thread(index.asked.wait, 20)
        for task in waiting[:give_up]:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        if give_up == 2:
            assert users_of(tmp_path) == []
        index.release.set()
        await asyncio.gather(*waiting[give_up:])

    for give_up in (2, 1):
        with SlowIndex(links) as index:
            monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
            asyncio.run(scenario(index, give_up=give_up))
        assert left(tmp_path) == ([] if give_up == 2 else [Path(environments.packages(found)).name])


def test_what_nothing_needs_is_removed(tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments of no plugin, and what a killed daemon left half installed; not what is being installed."""
    environments = Environments(tmp_path / "environments", (links,))
    kept, removed = needing(tmp_path, "tinylib<2", name="kept"), needing(tmp_path, "tinylib>=2", name="removed")
    coming = needing(tmp_path, "other", name="coming")
    (tmp_path / "environments" / ".half" / "tinylib").mkdir(parents=True)

    async def scenario(index: SlowIndex) -> None:
        await asyncio.gather(environments.prepare(kept), environments.prepare(removed))
        environments.find_links = ()
        monkeypatch.delenv("UV_OFFLINE")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another cache"))
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        run = asyncio.create_task(environments.prepare(coming))
        assert await asyncio.to_thread(index.asked.wait, 20)
        with capture_logs() as logged:
            environments.remove_unused([kept])
            environments.remove_unused([kept])
        assert [(event["event"], event["environment"]) for event in logged] == [
            ("environment.removed", Path(environments.packages(removed)).name)
        ]
        assert not Path(environments.packages(removed)).exists()
        index.release.set()
        await run

    with SlowIndex(links) as index:
        asyncio.run(scenario(index))
    assert sorted(left(tmp_path)) == sorted(Path(environments.packages(each)).name for each in (kept, coming))


def test_state_folder_that_cannot_be_written_is_refused_for_now(tmp_path: Path, links: Path) -> None:
    """A full disk is no crash."""
    (tmp_path / "file").write_text("")
    error = refusal(Environments(tmp_path / "file" / "environments", (links,)).prepare(needing(tmp_path, "tinylib")))
    assert f"{tmp_path / 'file' / 'environments'}: Not a directory" in error.problem
    assert error.transient


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "Using CPython 3.11.7\nerror: No solution found\n  cause: Because a, b.\n         And c.\n\nhint: try e\n",
            "No solution found: Because a, b. And c. hint: try e",
        ),
        (
            "  \N{MULTIPLICATION SIGN} No solution found:\n  ╰─▶ Because a, we can\n      conclude b.\n",
            "No solution found: Because a, we can conclude b",
        ),
        ("error: Failed to fetch: `x`\n  Caused by: timed out\n", "Failed to fetch: `x`: timed out"),
        ("Killed\n", ""),
    ],
)
def test_uvs_complaint_in_one_line(said: str, reason: str) -> None:
    """As several versions of uv write it."""
    assert install._reason(said) == reason


def test_uv_that_dies_is_refused_for_now(
    tmp_path: Path, environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed for want of memory, say: its status is all there is to tell."""
    monkeypatch.setattr(install, "_find_uv", lambda: "/bin/false")
    error = refusal(environments.prepare(needing(tmp_path, "tinylib")))
    assert error.problem.endswith("(tinylib): uv ended with status 1")
    assert error.transient
    assert left(tmp_path) == []
