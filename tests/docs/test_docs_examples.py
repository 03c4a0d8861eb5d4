"""Every command and every block of code in the documentation is tried, and does what the page says."""

import configparser
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.testing import conformance
from hostd import config
from tests.docs.fences import ROOT, Block, blocks, documents
from tests.docs.session import Command, Session, commands, matches

TRIED = [document for document in documents() if "reference" not in document.parts]
MAX_NOT_RUN = 2
SIDE_BY_SIDE = 4

Trials = dict[Path, "Future[None]"]


@pytest.fixture(scope="module")
def trials(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[None]]]:
    """Try the pages that were asked for side by side: each mostly waits for a daemon of its own."""
    asked = [item.callspec.params.get("page") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            page: pool.submit(_try_page, page, tmp_path_factory.mktemp("page") / "hostd")
            for page in sorted(set(TRIED) & set(asked), key=lambda page: -page.read_text(encoding="utf-8").count("$ "))
        }


def test_page(page: Path, trials: Trials) -> None:
    """What a page tells its reader to type, write and set works, from its top to its end."""
    trials[page].result()


def _try_page(page: Path, folder: Path) -> None:
    folder.mkdir()
    with Session(folder) as session:
        for block in blocks(page):
            if block.no_run is None:
                try:
                    _try(block, session)
                except Exception as error:
                    raise AssertionError(f"{block.where}: {error}") from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", TRIED, ids=[str(page.relative_to(ROOT)) for page in TRIED])


def _try(block: Block, session: Session) -> None:
    if block.file is not None:
        path = session.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body, encoding="utf-8")
    match block.language:
        case "console":
            for command in commands(block.body):
                session.type(command)
        case "python":
            _try_python(block, session)
        case "toml":
            _try_toml(block, session)
        case "ini":
            _check_unit(block.body)
        case "json":
            json.loads(block.body)
        case "text":
            pass
        case other:
            raise AssertionError(f"a block of {other}: nothing here knows how to try that")


def _try_python(block: Block, session: Session) -> None:
    if "# /// script" in block.body:
        path = session.folder / (block.file or f".hostd-docs/line_{block.line}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.body, encoding="utf-8")
        conformance(path)
        needs = "\n# needs = " in block.body
        answer = "refused at prepared: … is not granted; …" if needs else f"…: ok, … {'…'}"
        session.type(Command(f"hostd check {path}", answer))
    elif block.file is None:
        done = subprocess.run(
            [sys.executable, "-c", block.body], cwd=session.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    else:
        compile(block.body, block.file, "exec")


def _try_toml(block: Block, session: Session) -> None:
    table = tomllib.loads(block.body)
    if set(table) <= set(config.Config.model_fields):
        path = session.folder / (block.file or ".hostd-docs.toml")
        path.write_text(block.body, encoding="utf-8")
        config.load(path)


def _check_unit(text: str) -> None:
    """Check that a systemd unit is one: it may repeat a key, and values are as they are."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    assert unit["Service"]["ExecStart"].startswith("/")


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    skipped = [block for page in documents() for block in blocks(page) if block.no_run is not None]
    assert len(skipped) <= MAX_NOT_RUN, [f"{block.where}: {block.no_run}" for block in skipped]
    assert all(len(block.no_run or "") > 10 for block in skipped)


def test_no_code_hides_in_blocks_without_a_language() -> None:
    for page in documents():
        text = page.read_text(encoding="utf-8")
        fences = [line for line in text.splitlines() if line.lstrip().startswith("```")]
        assert all(fence.strip() != "```" for fence in fences[::2]), page


@pytest.mark.parametrize(
    ("shown", "output", "is_match"),
    [
        ("", "", True),
        ("", "something", False),
        ("a\nb", "a\nb\n", True),
        ("a … c", "a b c", True),
        ("a … c", "a b\nc", False),
        ("a\n…\nd", "a\nb\nc\nd", True),
        ("a\n…\nd", "a\nd", True),
        ("a\n…", "a", True),
        ("pid=7 ms=1.5", "pid=1234 ms=20", True),
        ("records=7", "records=8", False),
    ],
)
def test_output_is_compared_but_for_what_varies(shown: str, output: str, is_match: bool) -> None:
    assert matches(shown, output) == is_match


@pytest.mark.slow
def test_make_run_in_a_clean_copy_serves_the_examples(tmp_path: Path) -> None:
    """`make run` needs Python and the network, and nothing else."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in map(os.fsdecode, files):
        if name and (ROOT / name).is_file():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    log = tmp_path / "make.log"
    python = getattr(sys, "_base_executable", sys.executable)
    with log.open("wb") as out:
        make = subprocess.Popen(
            ["make", f"PYTHON={python}", "run"], cwd=tmp_path, stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 300
        while "daemon.ready" not in log.read_text() and make.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "daemon.ready" in log.read_text(), log.read_text()
        while not (tmp_path / "out" / "access.ndjson").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (tmp_path / "out" / "access.ndjson").exists()
    finally:
        os.killpg(make.pid, signal.SIGTERM)
        make.wait(30)
