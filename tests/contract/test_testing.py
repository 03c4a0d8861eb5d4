"""The conformance suite that plugin authors run: it passes what keeps the rules and catches what does not."""

from pathlib import Path

import pytest

from contract import Context
from contract.manifest import ManifestError
from contract.testing import as_json, conformance, load, make_stream_processor, run, run_stream
from tests.build import plugin

SAMPLE = "[[tool.hostd.samples]]\ninput = 'a\\nb\\n'\nrecords = [{ line = 'a' }, { line = 'b' }]".replace(
    "'a\\nb\\n'", '"a\\nb\\n"'
)


def check(tmp_path: Path, code: str, table: str = SAMPLE) -> None:
    """Run the suite on a plugin of this code."""
    path = tmp_path / "subject.py"
    path.write_text(plugin(code, table=table))
    conformance(path)


def processor(body: str, start: str = "pass") -> str:
    """Return the code of a plugin whose parse is `body`."""
    return (
        "import os, sys\nclass P:\n"
        f"    def __init__(self):\n        {start}\n"
        f"    def parse(self, data, ctx):\n        {body}\n"
        "def new_processor():\n    return P()\n"
    )


GOOD = "return [{'line': line.decode()} for line in data.splitlines()]"


def test_a_processor_that_keeps_the_rules_passes(tmp_path: Path) -> None:
    """An exception is a fair answer to hostile input, and options are the defaults of its model."""
    check(tmp_path, processor(GOOD))
    options = "from pydantic import BaseModel\nclass Options(BaseModel):\n    key: str = 'line'\n"
    check(tmp_path, options + processor("return [{ctx.options.key: line.decode()} for line in data.splitlines()]"))


@pytest.mark.parametrize(
    ("code", "table", "message"),
    [
        (processor(GOOD), "", "the manifest carries no samples; add one input with the records you expect"),
        (processor("return []"), SAMPLE, "sample 0: expected [{'line': 'a'}, {'line': 'b'}], got []"),
        (processor("ctx.reject(data, 'no'); " + GOOD), SAMPLE, "sample 0: rejected [(b'a\\nb\\n', 'no')]"),
        (
            processor("self.n += 1; return [{'line': x.decode()} for x in data.splitlines()] * self.n", "self.n = 0"),
            SAMPLE,
            "sample 0: a second parse of the same bytes differs: it keeps state",
        ),
        (
            processor("return [{'line': x.decode()} for x in data.splitlines()] if data.count(b'\\n') > 1 else []"),
            SAMPLE,
            "sample 0: record by record it yields [] instead: records depend on each other",
        ),
        (
            "def new_processor():\n    return 1\n",
            SAMPLE,
            "new_processor() returns int without a method parse(data, ctx); return",
        ),
    ],
    ids=["no samples", "wrong records", "unexpected rejection", "state", "dependence", "no parse"],
)
def test_a_broken_rule_is_named(tmp_path: Path, code: str, table: str, message: str) -> None:
    """The message says which rule, and how it was broken."""
    with pytest.raises(AssertionError) as caught:
        check(tmp_path, code, table)
    assert message in str(caught.value)


ZERO = """
class P:
    name = "demo"
    def parse(self, data):
        return [line for line in data.decode().splitlines() if line]

def new_processor():
    return P()
"""
ZERO_SAMPLE = 'samples = [{ input = "a\\nb\\n", records = [{ message = "a" }, { message = "b" }] }]'


def test_a_plugin_of_contract_0_is_held_to_the_same_rules(tmp_path: Path) -> None:
    """Through the adapter: what keeps the rules passes, and what breaks one is named."""
    path = tmp_path / "subject.py"
    good = plugin(ZERO, contract=">=0.1,<1", table=ZERO_SAMPLE)
    path.write_text(good)
    conformance(path)
    for old, new, message in [
        ("if line]", "if line][:1]", "sample 0: expected "),
        (
            'name = "demo"\n    def',
            'name = "other"\n    def',
            "name is 'other', and its manifest says 'demo'; make them",
        ),
        ("def parse", "def parse_", "new_processor() returns P without a method parse(data); return an object"),
        (">=0.1,<1", ">=0.2,<1", "asks for contract '>=0.2,<1', and this hostd speaks 1.0 and 0.1"),
    ]:
        assert old in good
        path.write_text(good.replace(old, new))
        with pytest.raises(AssertionError) as caught:
            conformance(path)
        assert message in str(caught.value)
    path.write_text(good.replace("return [", "return tuple([").replace("if line]", "if line])"))
    with pytest.raises(TypeError, match="plugin 'demo' speaks contract 0, where"):
        conformance(path)


def test_another_contract_is_named(tmp_path: Path) -> None:
    """A plugin for another contract is not run at all."""
    path = tmp_path / "subject.py"
    path.write_text(plugin("raise SystemExit", table=SAMPLE).replace(">=1.0,<2", ">=7"))
    path.write_text(path.read_text().replace("raise SystemExit", processor(GOOD)))
    with pytest.raises(AssertionError, match=r"asks for contract '>=7', and this hostd speaks 1\.0 and 0\.1; write"):
        conformance(path)


def test_hostile_input_that_ends_the_process_is_caught(tmp_path: Path) -> None:
    """sys.exit in a parser is not an answer."""
    with pytest.raises(SystemExit):
        check(tmp_path, processor("data.startswith(b'{') and sys.exit(3); " + GOOD))


def test_header_of_a_sample_is_apart_from_its_records(tmp_path: Path) -> None:
    """A sample that begins with its header is cut as a source is; one that names its header is not."""
    body = "return [{'h': ctx.header.decode(), 'line': x.decode()} for x in data.splitlines()]"
    inside = 'header = 1\nsamples = [{ input = "H\\na\\n", records = [{ h = "H\\n", line = "a" }] }]'
    apart = 'header = 1\nsamples = [{ input = "a\\n", header = "H\\n", records = [{ h = "H\\n", line = "a" }] }]'
    check(tmp_path, processor(body), inside)
    check(tmp_path, processor(body), apart)


def test_run_returns_records_rejections_and_what_was_said() -> None:
    """One call gives all that a worker would answer."""

    class Talkative:
        def parse(self, data: bytes, ctx: Context) -> list[str]:
            ctx.log.info(f"{ctx.source} {ctx.offset}")
            ctx.reject(data, "because")
            return ["text"]

    outcome = run(Talkative(), b"x", source="s", offset=3)
    assert outcome.records == [{"message": "text"}]
    assert outcome.rejected == [(b"x", "because")]
    assert outcome.said == [("info", "s 3")]


@pytest.mark.parametrize("record", [{"x": "\ud800"}, {"x": object()}, {("a",): 1}])
def test_as_json_refuses_what_json_cannot_hold(record: object) -> None:
    """A test must not pass with records that a daemon cannot store."""
    with pytest.raises((TypeError, ValueError)):
        as_json([record])


def test_load_reads_the_manifest_and_imports_the_module(tmp_path: Path) -> None:
    """A test of an author's own gets both; a file with a byte order mark is read as the daemon reads it."""
    path = tmp_path / "subject.py"
    path.write_text("\ufeff" + plugin("ANSWER = 42\n"), encoding="utf-8")
    manifest, module = load(path)
    assert (manifest.name, module.ANSWER) == ("demo", 42)
    path.write_text("no manifest")
    with pytest.raises(ManifestError, match="has no PEP 723 block"):
        load(path)


STREAM_SAMPLE = 'framing = "stream"\n' + SAMPLE
STREAM = """
class Stream:
    def __init__(self, ctx, state):
        self.ctx, self.rest = ctx, state or b""
    def feed(self, data, final):
        *lines, self.rest = (self.rest + data).split(b"\\n")
        if final and self.rest:
            self.ctx.reject(self.rest, "torn")
        return [{"line": line.decode()} for line in lines]
    def snapshot(self):
        return self.rest
class P:
    def open(self, ctx, state):
        return Stream(ctx, state)
def new_processor():
    return P()
"""


def test_a_stream_that_keeps_the_rules_passes(tmp_path: Path) -> None:
    """Cut at any byte, alive over the cut or opened with the snapshot."""
    check(tmp_path, STREAM, STREAM_SAMPLE)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "return self.rest",
            "return b''",
            "sample 0: opened at byte 1 with the snapshot it yields ([{'line': ''}, {'l",
        ),
        ("return self.rest", "return 'text'", "snapshot() returns str; return bytes"),
        ("return self.rest", "return bytes(2 << 20)", "its snapshot of 2097152 bytes is over the limit (limits.snap"),
        (
            "(self.rest + data).split",
            "data.split",
            "sample 0: cut at byte 1 it yields ([{'line': ''}, {'line': 'b'}], [",
        ),
        ("ctx, state or b", "ctx, b", "sample 0: opened at byte 1 with the snapshot"),
        ("class Stream:", "class Stream:\n    seen = []", "sample 0: a second stream differs: state outlives"),
        ("def feed", "def feed_", "open() returns Stream without feed; return an object with feed(data, final) and"),
        ("def open", "def open_", "new_processor() returns P without a method open(ctx, state), and its framing is 's"),
        ("self.rest:", "True:", "sample 0: rejected [(b'', 'torn')]"),
    ],
    ids=["empty", "no bytes", "too large", "no rest", "forgets", "class state", "no feed", "no open", "rejects"],
)
def test_a_broken_rule_of_streams_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The message says which rule, and where it was broken."""
    code = STREAM.replace(old, new)
    if "seen" in new:
        code = code.replace(
            "return [{", "self.seen.append(1); return [{'n': len(self.seen)}] * (len(self.seen) > 1) + [{"
        )
    assert code != STREAM
    with pytest.raises((AssertionError, TypeError)) as caught:
        check(tmp_path, code, STREAM_SAMPLE)
    assert message in str(caught.value)


def test_a_stream_without_its_framing_is_told_what_to_write(tmp_path: Path) -> None:
    """Neither is run: `open` alone is no processor of lines."""
    with pytest.raises(AssertionError) as caught:
        check(tmp_path, STREAM, SAMPLE)
    assert str(caught.value) == (
        "new_processor() returns P with open(ctx, state) and without parse(data, ctx), and its framing is not 'stream';"
        ' write framing = "stream" in the manifest'
    )


def test_run_stream_returns_records_rejections_and_what_was_said(tmp_path: Path) -> None:
    """In pieces as it is told, with the offset of each."""
    path = tmp_path / "subject.py"
    said = "self.ctx.log.info(f'{self.ctx.offset} {data!r} {final}')"
    path.write_text(plugin(STREAM.replace("*lines,", f"{said}; *lines,"), table=STREAM_SAMPLE))
    _, module = load(path)
    outcome = run_stream(make_stream_processor(module.new_processor), b"a\nbc", cuts=[3])
    assert outcome.records == [{"line": "a"}]
    assert outcome.rejected == [(b"bc", "torn")]
    assert outcome.said == [("info", "0 b'a\\nb' False"), ("info", "3 b'c' True")]
