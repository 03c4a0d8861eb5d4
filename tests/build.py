"""What the tests make: plugin files, wheels, and the messages that load them."""

import asyncio
import base64
import hashlib
import io
import os
import select
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.manifest import Manifest
from hostd.plugins import artifact as artifacts
from hostd.plugins.artifact import Artifact
from hostd.plugins.proof import load_message
from hostd.workers import wire

PARSE_LINES = """
from contract import each_line

def new_processor():
    return each_line(lambda line: {"line": line})
"""


def plugin(
    code: str = PARSE_LINES,
    *,
    name: str = "demo",
    version: str = "1.0.0",
    contract: str = ">=1.0,<2",
    table: str = "",
    top: str = "",
) -> str:
    """Return the source of a plugin; `table` is more of its [tool.hostd], `top` what precedes that."""
    lines = [
        *top.splitlines(),
        "[tool.hostd]",
        f'name = "{name}"',
        f'version = "{version}"',
        f'contract = "{contract}"',
        *table.splitlines(),
    ]
    block = "".join(f"# {line}\n" if line else "#\n" for line in lines)
    return f"# /// script\n{block}# ///\n{textwrap.dedent(code)}"


def manifest(name: str = "demo", **fields: Any) -> Manifest:
    """Return a manifest with these fields."""
    return Manifest.model_validate({"name": name, "version": "1.0.0", "contract": ">=1.0,<2", **fields})


def artifact(folder: Path, code: str = PARSE_LINES, *, file: str = "demo.py", **fields: str) -> Artifact:
    """Drop a plugin into `folder`/plugins.d and return it checked."""
    path = folder / "plugins.d" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plugin(code, **fields))
    return artifacts.read(path, folder / "store")


def load(folder: Path, code: str = PARSE_LINES, *, options: dict[str, Any] | None = None, **fields: str) -> wire.Load:
    """Return the message that makes a worker one of this plugin."""
    return load_message(artifact(folder, code, **fields), options, "@source")


METADATA = "Metadata-Version: 2.1\nName: demo-plugin\nVersion: 2.0.0\n"
ENTRY_POINTS = "[hostd.processors]\ndemo = demo_plugin:new_processor\n"
WHEEL_FILES: dict[str, str | bytes] = {
    "demo_plugin/__init__.py": PARSE_LINES,
    "demo_plugin/plugin.toml": 'contract = ">=1.0,<2"\n',
    "demo_plugin-2.0.0.dist-info/METADATA": METADATA,
    "demo_plugin-2.0.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "demo_plugin-2.0.0.dist-info/entry_points.txt": ENTRY_POINTS,
}
RECORD = "demo_plugin-2.0.0.dist-info/RECORD"
WHEEL_NAME = "demo_plugin-2.0.0-py3-none-any.whl"


def record_of(files: Mapping[str, bytes]) -> str:
    """Return the RECORD of these files."""

    def line(name: str, content: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},{len(content)}\n"

    return "".join(line(name, content) for name, content in files.items()) + f"{RECORD},,\n"


def wheel(changes: Mapping[str, str | bytes | None] | None = None, *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a wheel with some files changed, added, or (None) left out; RECORD fits unless it is among them."""
    wanted = {**WHEEL_FILES, **(changes or {})}
    files = {
        name: content.encode() if isinstance(content, str) else content
        for name, content in wanted.items()
        if content is not None
    }
    if RECORD not in wanted:
        files[RECORD] = record_of(files).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)  # of no time: the same bytes each time
    return buffer.getvalue()


async def read_fifo(path: Path) -> str:
    """Return what a process writes to a FIFO that exists, waiting for it at most 10 s."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        ready, _, _ = await asyncio.to_thread(select.select, [fd], [], [], 10)
        assert ready, "nobody wrote to it"
        return os.read(fd, 4096).decode()
    finally:
        os.close(fd)
