"""Write a working plugin to start from, or with --wheel a project that builds one, with a test that passes.

With --from FILE, propose a format without code from the lines of that file.
"""

import argparse
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from contract.manifest import NAME_PATTERN
from hostd.errors import HostdError

EPILOG = """examples:
  hostd new my_format              my_format.py and test_my_format.py, here
  hostd new my_format --wheel      a project in hostd-my-format/
  hostd new my_format --from FILE  my_format.toml, proposed from example lines
"""

_BLOCK_END = "\n# ///\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", metavar="NAME", help="the processor's name: lower case letters, digits, underscore")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--wheel", action="store_true", help="a project that builds a wheel")
    forms.add_argument("--from", dest="example", type=Path, metavar="FILE", help="propose a format without code")


def main(options: argparse.Namespace) -> int:
    """Write the files; none is overwritten."""
    name: str = options.name
    if not re.match(NAME_PATTERN, name):
        raise HostdError(
            f"NAME {name!r}",
            "is not a processor's name",
            "use lower case letters, digits and underscores, like my_format",
        )
    if options.example is not None:
        from hostd.cli.proposal import write_proposal

        return write_proposal(name, options.example)
    contents = _wheel(name) if options.wheel else _script(name)
    taken = next((path for path in contents if path.exists()), None)
    if taken is not None:
        raise HostdError(str(taken), "is there already", "choose another name, or move it away")
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")  # noqa: T201
    first = next(iter(contents))
    if options.wheel:
        print(f"next: cd {first.parts[0]} && python -m build --wheel && cp dist/*.whl PLUGINS_FOLDER")  # noqa: T201
    else:
        print(f"next: hostd check {first} && cp {first} plugins.d/")  # noqa: T201
    return 0


def _template(template: str, name: str) -> str:
    text = files("hostd").joinpath("templates", template).read_text(encoding="utf-8")
    return Template(text).substitute(name=name, dashed=name.replace("_", "-"))


def _script(name: str) -> dict[Path, str]:
    return {
        Path(f"{name}.py"): _template("plugin.py.txt", name),
        Path(f"test_{name}.py"): _template("test_plugin.py.txt", name),
    }


def _wheel(name: str) -> dict[Path, str]:
    project = Path(f"hostd-{name.replace('_', '-')}")
    package = project / f"hostd_{name}"
    # The same parser as in a plugin of one file; its manifest stands in plugin.toml instead of in a block.
    code = _template("plugin.py.txt", name).partition(_BLOCK_END)[2]
    return {
        project / "pyproject.toml": _template("pyproject.toml.txt", name),
        package / "__init__.py": code,
        package / "plugin.toml": _template("plugin.toml.txt", name),
        project / "tests" / f"test_{name}.py": _template("test_wheel.py.txt", name),
    }
