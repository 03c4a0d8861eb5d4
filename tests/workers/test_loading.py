"""What cannot serve says where and why, and what to do, before it gets a batch."""

import asyncio
import json
from pathlib import Path

import pytest

from hostd.errors import WorkerLostError
from hostd.workers.pool import Pool
from hostd.workers.questions import GenerationBrokenError
from tests.build import PARSE_LINES, load
from tests.workers.demo import MakeCrew, batch, lines_of, processor

ZERO = """
class P:
    name = "demo"
    def parse(self, data):
        lines = data.decode().splitlines()
        return {"list": lines, "tuple": tuple(lines), "bytes": [data]}[lines[0]]

def new_processor():
    return P()
"""


@pytest.mark.parametrize(
    ("first", "reason"), [("tuple", "returned tuple"), ("bytes", "returned a list whose item 0 is bytes")]
)
def test_contract_0_yields_messages_and_nothing_else(
    runner: asyncio.Runner, crew: MakeCrew, first: str, reason: str
) -> None:
    """Strings become records; what is not a list of them is a dead letter that names the plugin and the rule."""

    async def scenario() -> None:
        demo = crew(ZERO, contract=">=0.1,<1")
        good = await demo.parse(batch(b"list\nb\n"), 20.0)
        assert [json.loads(line) for line in good.lines.splitlines()] == [
            {"message": "list", "@source": "a.log"},
            {"message": "b", "@source": "a.log"},
        ]
        bad = await demo.parse(batch(f"{first}\n".encode()), 20.0)
        assert bad.records == 0
        rule = "plugin 'demo' speaks contract 0, where parse(data) returns a list of str; it"
        assert [letter.reason for letter in bad.dead] == [f"TypeError: {rule} {reason} (plugins.d/demo.py)"]

    runner.run(scenario())


def test_contract_0_needs_the_name_that_its_manifest_says(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """The two names are the contract's whole identity check; a property that raises is the plugin's own line."""

    async def scenario() -> None:
        for name, message in [
            ("name = 'other'", "plugins.d/demo.py: new_processor() returns a processor whose name is 'other', and its"),
            (
                "pass",
                "plugins.d/demo.py: new_processor() returns a processor whose name is None, and its manifest says",
            ),
            ("name = property(lambda self: 1 / 0)", "plugins.d/demo.py:9: new_processor() raises ZeroDivisionError"),
        ]:
            demo = crew(ZERO.replace('name = "demo"', name), contract=">=0.1,<1")
            with pytest.raises(GenerationBrokenError) as caught:
                await demo.start()
            assert str(caught.value).startswith(message)

    runner.run(scenario())


BROKEN: dict[str, tuple[str, str]] = {
    "syntax": ("def new_processor(:\n", "plugins.d/demo.py:7: SyntaxError: invalid syntax; mend line 7"),
    "raises at import": ("1 / 0\n", "plugins.d/demo.py:7: importing it raises ZeroDivisionError: division by zero;"),
    "exits at import": ("raise SystemExit(3)\n", "plugins.d/demo.py:7: importing it raises SystemExit: 3; mend"),
    "imports nothing there": ("import nowhere\n", "plugins.d/demo.py:7: importing it raises ModuleNotFoundError: "),
    "no factory": ("x = 1\n", "plugins.d/demo.py: has no function new_processor(); define one that returns"),
    "factory raises": (
        processor("pass", "raise ValueError('x')"),
        "plugins.d/demo.py:18: new_processor() raises ValueError: x; mend that line",
    ),
    "factory exits": (processor("pass", "sys.exit(1)"), "plugins.d/demo.py:18: new_processor() raises SystemExit: 1;"),
    "no parse": (
        processor("pass", "return 1"),
        "plugins.d/demo.py: new_processor() returns int without a method parse(data, ctx); return an object that has",
    ),
}


@pytest.mark.parametrize(
    ("start", "reason"),
    [(r"^\pL", r"bad escape \p at position 1"), ("^[[:lower:]]", "Possible nested set at position 2")],
)
def test_a_start_that_only_the_daemon_can_read_keeps_a_generation_out_of_service(
    runner: asyncio.Runner, crew: MakeCrew, start: str, reason: str
) -> None:
    """The worker would cut a failing batch elsewhere than the daemon; nothing of the plugin has run yet."""

    async def scenario() -> None:
        demo = crew("raise SystemExit", table=f"framing = {{ kind = 'multiline', start = '{start}' }}")
        with pytest.raises(GenerationBrokenError) as caught:
            await demo.start()
        where = f"plugins.d/demo.py: field 'framing.start' = {start!r}"
        assert str(caught.value).startswith(f"{where}: is a regular expression of RE2 alone: {reason}; write")

    runner.run(scenario())


@pytest.mark.parametrize("case", BROKEN)
def test_a_generation_that_cannot_load_says_where_and_why(runner: asyncio.Runner, crew: MakeCrew, case: str) -> None:
    """File, line, what was raised, and what to do; nothing of it is left running."""
    code, message = BROKEN[case]

    async def scenario() -> None:
        demo = crew(code)
        with pytest.raises(GenerationBrokenError) as caught:
            await demo.start()
        assert str(caught.value).startswith(message)
        assert demo.workers == 0

    runner.run(scenario())


@pytest.mark.parametrize(
    ("table", "body", "message"),
    [
        (
            "records = [{ line = 'b' }]",
            "pass",
            'sample 0: expected [{"line": "b"}], got [{"line": "bad"}]; mend parse,',
        ),
        (
            "records = []",
            "raise ValueError('x')",
            "plugins.d/demo.py:15: sample 0 raises ValueError: x; mend parse, or",
        ),
        ("records = []", "sys.exit(1)", "plugins.d/demo.py:15: sample 0 raises SystemExit: 1; mend parse, or"),
        ("records = []", "ctx.reject(raw, 'no'); continue", 'sample 0: rejected 1 times, expected 0: ["no"]; mend'),
    ],
)
def test_a_sample_that_differs_keeps_a_generation_out_of_service(
    runner: asyncio.Runner, crew: MakeCrew, table: str, body: str, message: str
) -> None:
    """Expected and got, both shown."""

    async def scenario() -> None:
        demo = crew(processor(body), table="samples = [{ input = 'bad', " + table + " }]")
        with pytest.raises(GenerationBrokenError) as caught:
            await demo.start()
        assert message in str(caught.value)

    runner.run(scenario())


def test_a_worker_lost_while_loading_is_said(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """os._exit at import is no message, and no hang."""

    async def scenario() -> None:
        demo = crew("import os; os._exit(5)\n")
        with pytest.raises(WorkerLostError, match=r"^exit status 5$"):
            await demo.start()
        assert demo.workers == 0

    runner.run(scenario())


def test_a_private_copy_that_was_changed_does_not_run(runner: asyncio.Runner, pool: Pool, tmp_path: Path) -> None:
    """The bytes that were hashed are the bytes that run."""

    async def scenario() -> None:
        message = load(tmp_path)
        Path(message.path).chmod(0o600)
        Path(message.path).write_text("raise SystemExit")
        with pytest.raises(GenerationBrokenError, match="its private copy was changed; drop the file in again"):
            await pool.crew(message, 5.0, 1).start()

    runner.run(scenario())


OPTIONS = """
from pydantic import BaseModel
from contract import each_line
class Options(BaseModel):
    width: int = 3
class P:
    def parse(self, data, ctx):
        yield {"line": ctx.options.width}
new_processor = P
"""


def test_options_are_validated_and_handed_over(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Defaults where the operator sets none; an error names table, field and value."""

    async def scenario() -> None:
        assert lines_of(await crew(OPTIONS).parse(batch())) == [3]
        assert lines_of(await crew(OPTIONS, options={"width": 8}).parse(batch())) == [8]
        for code, options, message in (
            (OPTIONS, {"width": "x"}, "[plugins.options.demo] width: Input should be a valid integer, unable to parse"),
            (PARSE_LINES, {"width": 1}, "[plugins.options.demo]: plugin 'demo' takes no options; remove"),
            (
                "Options = 3\n" + PARSE_LINES,
                {},
                "Options is no model of pydantic 2; define Options as a pydantic.BaseModel",
            ),
        ):
            with pytest.raises(GenerationBrokenError) as caught:
                await crew(code, options=options).start()
            assert message in str(caught.value)

    runner.run(scenario())
