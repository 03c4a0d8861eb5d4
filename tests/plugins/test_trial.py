"""What a candidate makes of recent input beside the version in service: verdicts, with real crews."""

import asyncio
import os
import resource
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hostd.config import Trial
from hostd.errors import Refusal
from hostd.plugins import proof, trial
from hostd.plugins.environment import Environments
from hostd.plugins.generation import Generation, State
from hostd.plugins.trial import Verdict, compare, judge
from hostd.workers.batch import Batch
from hostd.workers.pool import Pool
from tests.build import artifact, read_fifo

LINES = b"".join(b"line %02d\n" % number for number in range(20))

CODE = """
import os, time
class P:
    def parse(self, data, ctx):
        for line in data.decode().splitlines():
            BODY
            yield {"line": line}
new_processor = P
"""

EACH_LINE = """
from contract import each_line
def parse(line):
    BODY
    return {"line": line}
def new_processor():
    return each_line(parse)
"""

WHOLE = """
class P:
    def parse(self, data, ctx):
        yield {"size": len(data)}
        BODY
new_processor = P
"""

Scenario = Callable[[Generation, Generation], Awaitable[None]]


def piece(data: bytes = LINES, offset: int = 100, header: bytes = b"") -> Batch:
    return Batch("a.log", offset, header, data)


def run(
    folder: Path, candidate: str, scenario: Scenario, *, present: str = CODE.replace("BODY", "pass"), table: str = ""
) -> None:
    """Have `scenario` judge one version against another; no process is left afterwards."""

    async def judged() -> None:
        pool, environments = Pool(2, 60.0), Environments(folder / "environments")
        old = proof.make(1, artifact(folder, present, version="1.0.0", table=table), None, "", pool, environments)
        new = proof.make(2, artifact(folder, candidate, version="2.0.0", table=table), None, "", pool, environments)
        try:
            async with asyncio.timeout(20):
                for each in (old, new):
                    await proof.prove(each, environments, {})
                await scenario(new, old)
        finally:
            for each in (old, new):
                await each.crew.kill()
            await pool.close()

    asyncio.run(judged())


def verdict_of(
    folder: Path,
    candidate: str,
    pieces: Sequence[Batch] = (piece(),),
    *,
    present: str = CODE.replace("BODY", "pass"),
    most: int = 0,
    table: str = "",
) -> Verdict | None:
    """Compare, and return what was found."""
    found: list[Verdict | None] = []

    async def scenario(new: Generation, old: Generation) -> None:
        found.append(await compare(new.crew, old.crew, new.framing, pieces, most))

    run(folder, candidate, scenario, present=present, table=table)
    return found[0]


def texts(verdict: Verdict | None) -> list[str]:
    assert verdict is not None
    return [str(each) for each in verdict.regressions]


def test_what_comes_out_alike_is_no_regression(tmp_path: Path) -> None:
    """All records are counted, and nothing differs."""
    verdict = verdict_of(tmp_path, CODE.replace("BODY", "pass  # otherwise"), [piece(), piece(b"one more\n", 500)])
    assert verdict == Verdict(records=21)


def test_each_record_that_it_raises_on_is_named_with_its_place(tmp_path: Path) -> None:
    """The first few are found by cutting the piece down; the others are not looked for."""
    body = "if int(line[5:]) % 5 == 3: raise ValueError(line)"
    expected = [
        f"a.log at {100 + 8 * number}: 'line {number:02}' is not parsed:"
        f" ValueError: line {number:02} (plugins.d/demo.py:12)"
        for number in (3, 8, 13, 18)
    ]
    assert texts(verdict_of(tmp_path, CODE.replace("BODY", body))) == expected


@pytest.mark.parametrize(("most", "found"), [(0, 4), (3, 4), (7, 8), (100, 20)])
def test_it_looks_no_further_than_decides(tmp_path: Path, most: int, found: int) -> None:
    """One more than is allowed, and never fewer than are shown."""
    verdict = verdict_of(tmp_path, CODE.replace("BODY", "raise ValueError(line)"), most=most)
    assert len(texts(verdict)) == found


def test_records_that_it_drops_without_a_word_are_regressions(tmp_path: Path) -> None:
    """No exception and no rejection: there are just fewer."""
    body = "if line == 'line 07': continue"
    assert texts(verdict_of(tmp_path, CODE.replace("BODY", body))) == ["a.log at 156: 'line 07' yields no record"]


def test_fewer_records_of_one_input_are_a_regression(tmp_path: Path) -> None:
    """Where the version in service makes two records of a line, one is not enough."""
    verdict = verdict_of(
        tmp_path,
        CODE.replace("BODY", "pass"),
        [piece(b"twice\n")],
        present=CODE.replace("BODY", "yield {}"),
    )
    assert texts(verdict) == ["a.log at 100: 'twice' yields 1 record"]


def test_what_both_fail_is_no_regression_however_each_says_so(tmp_path: Path) -> None:
    """One raises, and its line is dead with its end; the other rejects, and it is dead without."""
    bad = "if line == 'line 07': raise ValueError('no')"
    for old, new in ((CODE, EACH_LINE), (EACH_LINE, CODE)):
        verdict = verdict_of(tmp_path, new.replace("BODY", bad), present=old.replace("BODY", bad))
        assert texts(verdict) == []


def test_what_only_the_candidate_parses_is_no_regression(tmp_path: Path) -> None:
    """That is what a new version is for."""
    verdict = verdict_of(
        tmp_path, CODE.replace("BODY", "pass"), present=CODE.replace("BODY", "if '07' in line: raise ValueError(line)")
    )
    assert verdict == Verdict(records=19)


def test_other_keys_are_changes_of_which_a_few_are_shown(tmp_path: Path) -> None:
    """What is missing and what is new, record by record; values may differ as they like."""
    candidate = CODE.replace('"line": line', '"text": line, "size": 1')
    verdict = verdict_of(tmp_path, candidate.replace("BODY", "pass"))
    assert verdict is not None
    assert verdict.regressions == []
    assert len(verdict.changes) == trial.SHOWN + 1
    assert str(verdict.changes[0]) == ("a.log at 100: 'line 00' no longer has line and also has size, text")
    assert str(verdict.changes[1]).startswith("a.log at 108: 'line 01' no longer has line")
    assert verdict.describe(verdict.changes).count("no longer has") == trial.SHOWN
    assert verdict.describe(verdict.changes).endswith("; and more")
    twice = verdict_of(
        tmp_path,
        candidate.replace("BODY", 'yield {"text": 1}'),
        [piece(b"one\n")],
        present=CODE.replace("BODY", "yield {}"),
    )
    assert twice is not None
    assert [str(each) for each in twice.changes] == [
        "a.log at 100: '{}' also has text",
        """a.log at 100: '{"line":"one"}' no longer has line and also has size, text""",
    ]
    other_values = CODE.replace('"line": line', '"line": line.upper()').replace("BODY", "pass")
    assert verdict_of(tmp_path, other_values) == Verdict(records=20)


@pytest.mark.parametrize(
    ("body", "reason"),
    [("os._exit(3)", "exit status 3"), ("time.sleep(60)", "no answer within 0.3 s"), ("1 / 0", None)],
)
def test_a_candidate_that_loses_its_worker_ends_the_trial(tmp_path: Path, body: str, reason: str | None) -> None:
    """Each further loss could take as long as a batch may; an exception is no loss."""
    verdict = verdict_of(
        tmp_path,
        CODE.replace("BODY", f"if line == 'line 07': {body}"),
        [piece(), piece(offset=1000), piece(offset=2000)],
        table="limits = { time_s = 0.3 }",
    )
    assert verdict is not None
    assert verdict.lost == (reason is not None)
    found = texts(verdict)
    if reason is not None:
        assert len(found) == 1
        assert found[0].startswith("a.log at 100: 'line 00\\nline 01")
        assert found[0].endswith(f"loses its worker: {reason}")
    else:
        assert len(found) == 3


def test_a_version_in_service_that_is_lost_itself_cannot_tell(tmp_path: Path) -> None:
    """What it does not survive is no measure for another one."""
    assert verdict_of(tmp_path, CODE.replace("BODY", "pass"), present=CODE.replace("BODY", "os._exit(3)")) is None


@pytest.mark.parametrize("of", ["candidate", "present"])
def test_a_version_that_cannot_be_started_again_is_a_verdict_and_no_error(tmp_path: Path, of: str) -> None:
    """Its first worker has gone, and the next one does not load it."""
    flag = tmp_path / "flag"
    flag.touch()
    needs = f"open({str(flag)!r}).close()\n"
    plain = CODE.replace("BODY", "pass")
    found: list[Verdict | None] = []

    async def scenario(new: Generation, old: Generation) -> None:
        flag.unlink()
        needy = new if of == "candidate" else old
        for worker in list(needy.crew._workers.values()):
            needy.crew._dismiss(worker)
        found.append(await compare(new.crew, old.crew, new.framing, [piece()], 0))

    run(
        tmp_path,
        needs + plain if of == "candidate" else plain,
        scenario,
        present=plain if of == "candidate" else needs + plain,
    )
    if of == "present":
        assert found == [None]
    else:
        [text] = texts(found[0])
        assert "loses its worker: cannot be started again: plugins.d/demo.py" in text
        assert "FileNotFoundError" in text


def test_a_zygote_that_ends_meanwhile_is_nobodys_fault(tmp_path: Path) -> None:
    """Both versions lose their workers, and the piece is parsed again: the verdict is the same."""
    gate, go = tmp_path / "gate", tmp_path / "go"
    os.mkfifo(gate)
    body = (
        f"if not os.path.exists({str(go)!r}): open({str(gate)!r}, 'w').write('parsing')\n"
        f"            while not os.path.exists({str(go)!r}): time.sleep(0.01)"
    )
    found: list[Verdict | None] = []

    async def scenario(new: Generation, old: Generation) -> None:
        comparing = asyncio.create_task(compare(new.crew, old.crew, new.framing, [piece(b"1\nbad\n")], 0))
        assert await read_fifo(gate) == "parsing"
        go.touch()
        zygote = new.crew._nursery._spawner._zygote
        assert zygote is not None
        os.kill(zygote.process.pid, signal.SIGKILL)
        found.append(await comparing)

    run(tmp_path, CODE.replace("BODY", f"{body}\n            if line == 'bad': raise ValueError(line)"), scenario)
    assert texts(found[0]) == ["a.log at 102: 'bad' is not parsed: ValueError: bad (plugins.d/demo.py:14)"]


def test_a_system_without_descriptors_leaves_the_candidate_to_be_tried_again(tmp_path: Path) -> None:
    """It is refused for now, for a cause that may pass, and not for good."""

    async def scenario(new: Generation, old: Generation) -> None:
        nursery = new.crew._nursery
        nursery._closed = True  # and so forks no worker ahead
        if nursery._spare_task is not None:
            await asyncio.wait([nursery._spare_task])
        nursery._end_spare()
        for worker in list(new.crew._workers.values()):
            new.crew._dismiss(worker)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(Refusal) as caught:
                await judge(new, old, [piece()], Trial())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert caught.value.transient
        assert str(caught.value) == (
            "plugins.d/demo.py: could not be tried with recent input: none can be forked: [Errno 24] Too many open"
            " files; that is no fault of its own, so it is tried again by itself"
        )
        assert (new.state, new.crew.workers) == (State.REFUSED, 0)

    run(tmp_path, CODE.replace("BODY", "pass  # new"), scenario)


@pytest.mark.parametrize(("mode", "refused"), [("refuse", True), ("warn", False), ("off", False)])
def test_the_mode_says_what_follows(tmp_path: Path, mode: str, refused: bool) -> None:
    """Refused with its processes ended; or let through with a warning; or not even tried."""

    async def scenario(new: Generation, old: Generation) -> None:
        with capture_logs() as logged:
            settings = Trial.model_validate({"mode": mode, "regressions": 1})
            if refused:
                with pytest.raises(Refusal, match="no longer parses what generation 1") as caught:
                    await judge(new, old, [piece()], settings)
                assert not caught.value.transient
            else:
                await judge(new, old, [piece()], settings)
        assert (new.state, new.crew.workers) == ((State.REFUSED, 0) if refused else (State.STARTED, 1))
        said = [event["event"] for event in logged]
        assert said == {"refuse": ["generation.tried"], "warn": ["generation.tried", "trial.differed"], "off": []}[mode]

    run(tmp_path, CODE.replace("BODY", "if line > 'line 17': raise ValueError(line)"), scenario)


def test_as_many_regressions_as_are_allowed_pass_in_silence(tmp_path: Path) -> None:
    """The event counts them."""

    async def scenario(new: Generation, old: Generation) -> None:
        with capture_logs() as logged:
            await judge(new, old, [piece()], Trial(regressions=2))
        assert [(event["event"], event.get("regressions")) for event in logged] == [("generation.tried", 2)]

    run(tmp_path, CODE.replace("BODY", "if line > 'line 17': raise ValueError(line)"), scenario)


def test_another_framing_is_not_compared(tmp_path: Path) -> None:
    """The records are others, so that one fewer says nothing."""

    async def scenario(new: Generation, old: Generation) -> None:
        new.framing = artifact(tmp_path, table='framing = "whole"').manifest.compiled_framing()
        await judge(new, old, [piece()], Trial())

    run(tmp_path, CODE.replace("BODY", "raise ValueError(line)"), scenario)


def test_a_whole_document_is_one_record(tmp_path: Path) -> None:
    """It is not cut, whatever its lines are."""
    verdict = verdict_of(
        tmp_path,
        WHOLE.replace("BODY", "raise ValueError('no')"),
        [piece(b"<a>\n</a>\n")],
        present=WHOLE.replace("BODY", "pass"),
        table='framing = "whole"',
    )
    assert texts(verdict) == ["a.log at 100: '<a>\\n</a>' is not parsed: ValueError: no (plugins.d/demo.py:12)"]


def test_a_record_of_several_lines_is_found_whole(tmp_path: Path) -> None:
    """It is cut where the framing says that a record starts."""
    verdict = verdict_of(
        tmp_path,
        CODE.replace("BODY", "if line == 'bad': raise ValueError(line)"),
        [piece(b"# 1\n a\n# 2\nbad\n b\n# 3\n")],
        table="""framing = { kind = "multiline", start = "^# " }""",
    )
    assert texts(verdict) == ["a.log at 107: '# 2\\nbad\\n b' is not parsed: ValueError: bad (plugins.d/demo.py:13)"]


def test_every_part_comes_with_its_header(tmp_path: Path) -> None:
    """However small it is cut, the candidate is handed what the version in service was."""
    code = CODE.replace("BODY", "if ctx.header != b'head\\n': os._exit(4)")
    verdict = verdict_of(
        tmp_path,
        code + "# new\n",
        [piece(b"1\nbad\n3\n", header=b"head\n")],
        present=code,
        table="header = 1",
    )
    assert verdict == Verdict(records=3)
