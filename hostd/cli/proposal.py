"""`hostd new NAME --from FILE`: propose a format without code, write it, and say what it parses of the file."""

from pathlib import Path

from contract.declared.table import read_declaration
from contract.manifest import ManifestError
from hostd.cli.printing import printable
from hostd.errors import HostdError
from hostd.propose.document import document
from hostd.propose.proposing import Proposed, proposal, reader
from hostd.propose.records import Records, records

_MOST_BYTES = 1 << 20
_MOST_SAMPLES = 2


def write_proposal(name: str, file: Path) -> int:
    """Write NAME.toml; nothing is overwritten. Return 0. Raises HostdError."""
    path = Path(f"{name}.toml")
    if path.exists():
        raise HostdError(str(path), "is there already", "choose another name, or move it away")
    found = records(_read(file))
    proposed = proposal(found)
    if not proposed.groks:
        raise HostdError(
            str(file),
            "its lines have nothing in common that a format could be made of",
            f"start from code: hostd new {name}",
        )
    read = reader(proposed.groks, proposed.fields, proposed.start)
    parsed = [read(text) for text in found.texts]
    missed = [text for text, record in zip(found.texts, parsed, strict=True) if record is None]
    text = document(proposed, file, _samples(proposed, found))
    try:
        read_declaration(text, name=name)
    except ManifestError as error:
        raise HostdError(f"{path}:{error.line}", f"is proposed wrongly: {error.problem}", error.remedy) from error
    path.write_text(text, encoding="utf-8")
    _say(path, file, len(found.texts), missed, proposed)
    return 0


def _read(file: Path) -> str:
    try:
        with file.open("rb") as content:
            data = content.read(_MOST_BYTES)
    except OSError as error:
        raise HostdError(str(file), f"cannot be read: {error.strerror}", "check the path and its mode") from error
    if b"\0" in data[:4096] or data.startswith((b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd")):
        raise HostdError(str(file), "is not text, or it is packed", "unpack it, or give it as UTF-8")
    if len(data) == _MOST_BYTES:
        data = data[: data.rfind(b"\n") + 1] or data
    return data.decode("utf-8-sig", "backslashreplace")


def _samples(proposed: Proposed, found: Records) -> list[tuple[str, dict[str, object]]]:
    """Return records of the file, the first that each expression takes, each with what comes of it."""
    chosen: dict[str, dict[str, object]] = {}
    for grok in proposed.groks[:_MOST_SAMPLES]:
        read = reader([grok], proposed.fields, proposed.start)
        whole = reader(proposed.groks, proposed.fields, proposed.start)
        for text in found.texts:
            if (
                text not in chosen
                and len(text) < 600
                and read(text) is not None
                and (record := whole(text)) is not None
            ):
                chosen[text] = record
                break
    return list(chosen.items())


def _say(path: Path, file: Path, count: int, missed: list[str], proposed: Proposed) -> None:
    unit = "lines" if proposed.start is None else "records"
    share = 100 * (count - len(missed)) / count
    print(f"wrote {path}")  # noqa: T201
    print(f"it parses {count - len(missed)} of {count} {unit} of {file} ({share:.1f} %)")  # noqa: T201
    if missed:
        print(f"the first of the others: {printable(missed[0].partition(chr(10))[0][:100])}")  # noqa: T201
    print(f"next: name its fields, then: hostd check {path} && cp {path} plugins.d/")  # noqa: T201
