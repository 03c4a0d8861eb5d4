"""Logprep: one pipeline of a file input, the dissector, and JSON lines. A second pipeline would read the file again."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.peer import Files, Parser, ask, program

_RULE = """\
filter: message
dissector:
  id: access
  mapping:
    message: '%{client} %{ident} %{user} [%{time}] "%{method} %{path} %{protocol}" %{status} %{bytes} "%{referer}" "%{agent}"'
"""  # noqa: E501
_PIPELINE = """\
version: "1"
process_count: 1
logger: {{level: WARNING}}
metrics: {{enabled: false}}
input:
  log: {{type: file_input, logfile_path: {log}, start: begin, interval: 1, watch_file: false}}
output:
  records: {{type: jsonl_output, output_file: {out}}}
pipeline:
  - dissector: {{type: dissector, rules: [{rules}]}}
"""


class Logprep(Parser):
    """All fields of the access log by the dissector, which is faster than its grokker; the line itself stays too."""

    name = "Logprep, dissector"
    install = "benchmarks/peers/install.sh, or pip install logprep in an environment of its own"
    most_mib = 8

    def version(self) -> str | None:
        python = program("logprep/bin/python")
        return ask(python, "-c", "from importlib.metadata import version; print('Logprep', version('logprep'))")

    def prepare(self, files: Files) -> Sequence[str | Path]:
        rules = files.folder / "rules"
        rules.mkdir()
        (rules / "access.yml").write_text(_RULE)
        (files.folder / "pipeline.yml").write_text(_PIPELINE.format(log=files.log, out=files.out, rules=rules))
        found = program("logprep/bin/logprep")
        assert found is not None
        return [found, "run", files.folder / "pipeline.yml"]
