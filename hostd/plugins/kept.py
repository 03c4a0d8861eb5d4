"""What is read of the private copy of a plugin that served once, without running it or checking whether it may."""

from pathlib import Path

from contract.framing import Framing
from hostd.errors import Refusal
from hostd.past import Past


def framing_of(past: Past) -> Framing | None:
    """Return how a generation's input was cut, None when its bytes are not kept any more."""
    from contract.manifest import ManifestError, read_script  # which takes longer than all else that who asks loads

    kept = Path(past.kept)
    try:
        content = kept.read_bytes()
        if kept.suffix == ".whl":
            from hostd.plugins import wheel

            return wheel.read(kept.name, kept.name, content).manifest.compiled_framing()
        if kept.suffix == ".toml":
            from contract.declared.table import read_declaration

            return read_declaration(content.decode("utf-8-sig"), name=kept.stem).compiled_framing()
        return read_script(content.decode("utf-8-sig"))[0].compiled_framing()
    except (OSError, UnicodeDecodeError, ManifestError, Refusal):
        return None  # lost, or from another version of the contract: what depends on it says so
