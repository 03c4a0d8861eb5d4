"""The reference says what the code says, and nothing that users meet is missing from it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

import contract
from contract.declared.library import PATTERNS
from contract.declared.table import Declaration, FieldTable
from contract.manifest import Manifest
from hostd import cli, config, events
from hostd.cli import dead
from tests.docs.fences import ROOT

REFERENCE = ROOT / "docs" / "reference"
TOOL = ROOT / "tools" / "reference.py"


def _tool(*arguments: str, tool: Path = TOOL) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(tool), *arguments], capture_output=True, text=True, check=False)


def test_reference_is_up_to_date() -> None:
    done = _tool("--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    for name in ("contract", "hostd"):
        (tmp_path / name).symlink_to(ROOT / name)
    tool = tmp_path / "tools" / "reference.py"
    tool.write_text(TOOL.read_text(encoding="utf-8"), encoding="utf-8")
    assert _tool(tool=tool).returncode == 0
    assert _tool("--check", tool=tool).returncode == 0
    page = tmp_path / "docs" / "reference" / "events.md"
    page.write_text("old\n", encoding="utf-8")
    (page.parent / "gone.md").touch()
    done = _tool("--check", tool=tool)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "docs/reference/events.md: does not say what the code says; run: make docs",
        "docs/reference/gone.md: does not say what the code says; remove it",
    ]


@pytest.mark.parametrize("name", events.CATALOGUE)
def test_event_is_documented(name: str) -> None:
    row = next(line for line in _lines("events.md") if line.startswith(f"| `{name}` |"))
    event = events.CATALOGUE[name]
    assert event.meaning in row
    assert all(f"`{key}`" in row for key in event.keys)


def test_every_setting_is_documented() -> None:
    keys = {key for model in _models(config.Config) - {config.Config} for key in model.model_fields}
    assert {key for key in keys if not any(line.startswith(f"| `{key}` |") for line in _lines("settings.md"))} == set()


def test_every_table_of_the_settings_is_taken_as_its_heading_says(tmp_path: Path) -> None:
    """With the defaults that the page names, each in a file of its own."""
    table = ""
    for line in _lines("settings.md"):
        if line.startswith("## "):
            table = line.removeprefix("## ").strip("`")
        cells = line.strip("| ").split(" | ")
        if table.startswith("[[") or len(cells) < 4 or not cells[2].startswith("`"):
            continue
        text = f"{table}\n{cells[0].strip('`')} = {cells[2].strip('`')}\n"
        settings = tmp_path / "hostd.toml"
        settings.write_text(text, encoding="utf-8")
        assert config.load(settings), text
    assert table == "[log]"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_exit_codes_that_not_every_command_has_are_in_the_commands_help(name: str) -> None:
    """And in the page's last line, with the command."""
    command = ROOT / "hostd" / "cli" / f"{name}.py"
    source = command.read_text(encoding="utf-8") + ((ROOT / "hostd" / "daemon.py").read_text() if name == "run" else "")
    constants = dict(re.findall(r"^(EXIT_\w+) = (\d+)$", source, re.MULTILINE))
    returned = re.findall(r"\breturn (\d+|EXIT_\w+)\b", source)
    codes = {int(constants.get(code, code)) for code in returned} - {0, 1, 2}
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## `hostd {name}`\n")[2].partition("\n## ")[0]
    last = _lines("cli.md")[-1]
    for code in codes:
        assert re.search(rf"\b{code}\b", section), f"{name}: {code}"
        assert re.search(rf"\b{code} from (?:[^,]* and from )?`hostd {name}\b", last), f"{name}: {code}"


def test_every_manifest_field_is_documented() -> None:
    keys = {key for model in _models(Manifest) for key in model.model_fields}
    assert {key for key in keys if not any(line.startswith(f"| `{key}` |") for line in _lines("manifest.md"))} == set()


def test_every_key_and_pattern_of_a_format_without_code_is_documented() -> None:
    keys = {*Declaration.model_fields, *FieldTable.model_fields} - Manifest.model_fields.keys()
    patterns = {name for name in PATTERNS if not name.startswith("_")}
    lines = _lines("format.md")
    assert {key for key in keys | patterns if not any(line.startswith(f"| `{key}` |") for line in lines)} == set()
    assert {name for name in Manifest.model_fields if f"`{name}`" not in "".join(lines)} == {"needs"}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_command_is_documented(name: str) -> None:
    assert f"## `hostd {name}`" in _lines("cli.md")


@pytest.mark.parametrize("action", dead.ACTIONS)
def test_action_of_a_command_is_documented(action: str) -> None:
    assert f"### `hostd dead {action}`" in _lines("cli.md")


@pytest.mark.parametrize("name", contract.__all__)
def test_public_name_of_the_contract_is_documented(name: str) -> None:
    assert f"### `{name}`" in _lines("contract.md")


def test_every_request_of_the_control_socket_is_documented() -> None:
    page = (ROOT / "docs" / "how-to" / "run-as-a-service.md").read_text(encoding="utf-8")
    code = "".join((ROOT / "hostd" / name).read_text(encoding="utf-8") for name in ("daemon.py", "control/dead.py"))
    requests = re.findall(r'\("(GET|POST)", "(/[a-z/]+)"\): self\._', code)
    assert len(requests) >= 10
    assert [f"{verb} {path}" for verb, path in requests if not re.search(rf"`{verb} {path}[?`]", page)] == []


def test_reference_names_no_place_on_this_machine() -> None:
    for page in REFERENCE.iterdir():
        assert str(ROOT) not in page.read_text(encoding="utf-8")


def test_plugins_that_ship_keep_the_contracts_types() -> None:
    done = _tool(tool=ROOT / "tools" / "typecheck_plugins.py")
    assert done.returncode == 0, done.stdout


def test_a_plugin_that_breaks_the_contracts_types_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "plugins.d").mkdir()
    (tmp_path / "contract").symlink_to(ROOT / "contract")
    tool = tmp_path / "tools" / "typecheck_plugins.py"
    tool.write_text((ROOT / "tools" / "typecheck_plugins.py").read_text(encoding="utf-8"), encoding="utf-8")
    code = (
        "import csv\nfrom contract import Processor, each_line\n\n\ndef new_processor() -> Processor:\n    return csv\n"
    )
    (tmp_path / "plugins.d" / "csv.py").write_text(code, encoding="utf-8")
    done = _tool(tool=tool)
    assert done.returncode == 1
    assert [line.partition(": ")[0] for line in done.stdout.splitlines() if ": error: " in line] == [
        "plugins.d/csv.py:6:12"
    ]


def _lines(page: str) -> list[str]:
    return (REFERENCE / page).read_text(encoding="utf-8").splitlines()


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    for field in model.model_fields.values():
        found |= {inner for annotation in _flat(field.annotation) for inner in _models(annotation)}
    return found


def _flat(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _flat(argument)]
