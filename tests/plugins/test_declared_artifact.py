"""A format without code to checked bytes: as any plugin's, with nothing run and its lines named."""

import hashlib
from pathlib import Path

import pytest

from hostd.config import Trust
from hostd.errors import Refusal, Stage
from hostd.past import Past
from hostd.plugins import artifact as artifacts
from hostd.plugins import kept, trust
from hostd.plugins.folder import is_plugin_name
from tests.signing import make_key, needs_ssh_keygen

FORMAT = "version = '1.2.0'\ndissect = '%{a} %{b}'\n"


def drop(tmp_path: Path, content: str | bytes, name: str = "pairs.toml") -> Path:
    """Put a file into a folder of plugins."""
    path = tmp_path / "plugins.d" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_its_bytes_are_kept_under_their_digest_and_its_file_names_it(tmp_path: Path) -> None:
    found = artifacts.read(drop(tmp_path, FORMAT), tmp_path / "store")
    assert (found.kind, found.display, found.contract) == ("toml", "plugins.d/pairs.toml", "1.0")
    assert (found.manifest.name, found.manifest.version) == ("pairs", "1.2.0")
    assert found.digest == hashlib.sha256(FORMAT.encode()).hexdigest()
    assert Path(found.private).read_text() == FORMAT
    assert found.requirements == ()


@pytest.mark.parametrize(
    ("content", "where", "message"),
    [
        ("grok = '%{WROD:a}'\n", "plugins.d/pairs.toml:1", "and no pattern is called 'WROD'; did you mean 'WORD'?"),
        (b"# \xff\n", "plugins.d/pairs.toml:1", "is not UTF-8; save it as UTF-8"),
        ("dissect = [\n", "plugins.d/pairs.toml:1", "the manifest is not TOML"),
        ("contract = '>=9'\ndissect = '%{a}'\n", "plugins.d/pairs.toml", "asks for contract '>=9'"),
        ("[build-system]\n", "plugins.d/pairs.toml:1", "field 'build-system' is not known; remove it; known are name"),
        ("x" * ((1 << 20) + 1), "plugins.d/pairs.toml", "has 1048577 bytes, more than 1048576; make it smaller"),
    ],
)
def test_what_cannot_serve_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, where: str, message: str
) -> None:
    with pytest.raises(Refusal) as caught:
        artifacts.read(drop(tmp_path, content), tmp_path / "store")
    assert caught.value.stage is Stage.CHECKED
    assert str(caught.value).startswith(f"{where}: ")
    assert message in str(caught.value)


def test_how_it_cut_its_input_is_read_of_the_bytes_that_are_kept(tmp_path: Path) -> None:
    text = FORMAT + "framing = { kind = 'multiline', start = '[A-Z]' }\n"
    found = artifacts.read(drop(tmp_path, text), tmp_path / "store")
    past = Past("pairs", 1, "1.2.0", found.digest, "", str(found.path), found.private, "2024-05-17T10:05:03Z")
    framing = kept.framing_of(past)
    assert framing is not None
    assert framing.kind == "multiline"


@needs_ssh_keygen
def test_where_signatures_are_wanted_it_needs_one(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    (tmp_path / "signers").write_text(key.line())
    policy = trust.policy(Trust(allowed_signers=tmp_path / "signers"))
    path = drop(tmp_path, FORMAT)
    with pytest.raises(Refusal, match=r"has no signature pairs\.toml\.sig beside it"):
        artifacts.read(path, tmp_path / "store", policy)
    drop(tmp_path, key.sign(FORMAT), "pairs.toml.sig")
    assert artifacts.read(path, tmp_path / "store", policy).manifest.name == "pairs"
    drop(tmp_path, FORMAT + "\n")
    with pytest.raises(Refusal, match="signature"):
        artifacts.read(path, tmp_path / "store", policy)


@pytest.mark.parametrize(
    ("name", "is_plugin"),
    [("a.toml", True), (".a.toml", False), ("a.toml.sig", False), ("a.toml~", False), ("a.toml.disabled", False)],
)
def test_only_a_toml_file_is_a_format(name: str, *, is_plugin: bool) -> None:
    assert is_plugin_name(name) is is_plugin
