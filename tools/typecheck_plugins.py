"""Check the types of every plugin that ships against `contract/`, each as its own author would: `mypy --strict`.

A plugin may be called like a module of the standard library (csv.py), so each is checked under a name of its own,
as a copy; what mypy says is told of the file itself. One run of mypy checks them all.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".mypy_cache" / "plugins"
"""Apart from the project's own: the copies have other names there."""

CONFIG = "[mypy]\nstrict = True\npython_version = 3.11\nplugins = pydantic.mypy\nfollow_imports = silent\n"
CONFIG += "[mypy-pyarrow.*]\nignore_missing_imports = True\n"  # it has no types


def plugins() -> list[Path]:
    """Return what is checked: files and wheel packages, but not the plugins that misbehave on purpose."""
    return [
        *sorted(ROOT.glob("plugins.d/*.py")),
        *sorted(ROOT.glob("examples/plugins/*.py")),
        *sorted(ROOT.glob("examples/wheels/*/hostd_*/")),
    ]


def check(paths: list[Path]) -> list[str]:
    """Return mypy's complaints about `paths`, as lines that begin with the path in the repository."""
    with tempfile.TemporaryDirectory(prefix="hostd-typecheck-") as temporary:
        folder = Path(temporary)
        (folder / "mypy.ini").write_text(CONFIG, encoding="utf-8")
        copies = {_copy(path, folder): path for path in paths}
        command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", str(CACHE)]
        command += ["--no-error-summary", "--no-pretty", "--show-column-numbers", *copies]
        # The contract of this checkout, whatever is installed.
        environment = {"MYPYPATH": str(ROOT), "PATH": ""}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    lines = [_of_original(line, copies) for line in done.stdout.splitlines()]
    if done.stderr or (done.returncode and not lines):
        lines.append(done.stderr.strip() or f"mypy ended with {done.returncode}")
    return lines


def _copy(path: Path, folder: Path) -> str:
    """Copy a plugin under a name that no other module has; return that name."""
    if path.is_dir():
        shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        return path.name
    name = re.sub(r"\W", "_", f"plugin_{path.parent.relative_to(ROOT)}_{path.stem}") + ".py"
    shutil.copy(path, folder / name)
    return name


def _of_original(line: str, copies: dict[str, Path]) -> str:
    file, colon, rest = line.partition(":")
    top, slash, below = file.partition("/")
    original = copies.get(top)
    return f"{original.relative_to(ROOT)}{slash}{below}{colon}{rest}" if original else line


def main() -> int:
    """Print the complaints; return 1 when there are any."""
    paths = plugins()
    complaints = check(paths)
    sys.stdout.writelines(f"{line}\n" for line in complaints)
    if complaints:
        return 1
    sys.stdout.write(f"{len(paths)} plugins keep the contract's types\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
