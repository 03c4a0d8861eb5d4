"""Pins and signatures: which artifacts may run, and what each refusal says."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostd.config import Trust
from hostd.errors import Refusal, Stage
from hostd.plugins import artifact as artifacts
from hostd.plugins import trust
from hostd.plugins.artifact import Artifact, BeingWrittenError
from tests.build import WHEEL_NAME, plugin, wheel
from tests.signing import Key, make_key, needs_ssh_keygen

SIGNED = plugin()
AGAIN = "ssh-keygen -Y sign -n hostd -f KEY demo.py"


class Site:
    """A folder with a plugin, its signature, and a file of allowed signers."""

    def __init__(self, path: Path, key: Key, stranger: Key) -> None:
        self.key = key
        self.stranger = stranger
        self.plugin = path / "plugins.d" / "demo.py"
        self.signature = path / "plugins.d" / "demo.py.sig"
        self.signers = path / "allowed_signers"
        self.store = path / "store"
        self.plugin.parent.mkdir()
        self.plugin.write_text(SIGNED)
        self.signature.write_bytes(key.sign(SIGNED))
        self.signers.write_text(key.line())

    def read(self, **settings: object) -> Artifact:
        """Read the plugin as the daemon does."""
        policy = trust.policy(Trust.model_validate({"allowed_signers": self.signers, **settings}))
        return artifacts.read(self.plugin, self.store, policy)

    def refusal(self, **settings: object) -> Refusal:
        """Return the refusal that reading it raises."""
        with pytest.raises(Refusal) as caught:
            self.read(**settings)
        return caught.value


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key]:
    folder = tmp_path_factory.mktemp("keys")
    return make_key(folder), make_key(folder, "stranger@example.com")


@pytest.fixture
def site(tmp_path: Path, keys: tuple[Key, Key]) -> Site:
    return Site(tmp_path, *keys)


@needs_ssh_keygen
@pytest.mark.parametrize(
    "options",
    ["", 'namespaces="hostd"', 'namespaces="git,hostd"', 'valid-after="20200101",valid-before="20990101"'],
    ids=["any", "hostd", "more", "valid now"],
)
def test_a_plugin_that_an_allowed_signer_signed_is_taken(site: Site, options: str) -> None:
    """And its signature is kept beside the private copy, for when keys are revoked."""
    site.signers.write_text(f"# the operators\n\n{site.stranger.line()}{site.key.line(options)}")
    found = site.read()
    assert Path(found.private).read_text() == SIGNED
    assert (Path(found.private).parent / "demo.py.sig").read_bytes() == site.signature.read_bytes()
    assert found.policy.wants_signature


@needs_ssh_keygen
def test_a_key_may_have_several_names_and_patterns(site: Site) -> None:
    """Each of them is asked for: a name that is a pattern, and one that is excluded, come first."""
    names = "!nobody@example.com,*@example.com,dana"
    site.signers.write_text(site.key.line().replace(site.key.name, names))
    assert site.read().manifest.name == "demo"


@needs_ssh_keygen
def test_a_wheel_is_signed_like_a_file(site: Site) -> None:
    content = wheel()
    site.plugin = site.plugin.with_name(WHEEL_NAME)
    site.plugin.write_bytes(content)
    assert site.refusal().problem == f"has no signature {WHEEL_NAME}.sig beside it"
    site.plugin.with_name(f"{WHEEL_NAME}.sig").write_bytes(site.key.sign(content))
    assert site.read().kind == "wheel"


@dataclass(frozen=True)
class Refused:
    """A state in which the plugin is refused, and the whole message; {…} are the site's."""

    name: str
    make: Callable[[Site], object]
    message: str


STATES = [
    Refused(
        "missing",
        lambda site: site.signature.unlink(),
        "plugins.d/demo.py: has no signature demo.py.sig beside it; "
        "sign it (ssh-keygen -Y sign -n hostd -f KEY demo.py) and drop that in too",
    ),
    Refused(
        "foreign",
        lambda site: site.signature.write_bytes(site.stranger.sign(SIGNED)),
        "plugins.d/demo.py: is signed with {stranger}, which {signers} does not name; "
        "add that key there if its owner may sign plugins",
    ),
    Refused(
        "revoked: not in the file any more",
        lambda site: site.signers.write_text(site.stranger.line()),
        "plugins.d/demo.py: is signed with {key}, which {signers} does not name; "
        "add that key there if its owner may sign plugins",
    ),
    Refused(
        "nobody is allowed",
        lambda site: site.signers.write_text(""),
        "plugins.d/demo.py: is signed with {key}, which {signers} does not name; "
        "add that key there if its owner may sign plugins",
    ),
    Refused(
        "a line that is none",
        lambda site: site.signers.write_text("ops@example.com\n"),
        "plugins.d/demo.py: is signed with {key}, which {signers} does not name ({signers}:1: missing key); "
        "add that key there if its owner may sign plugins",
    ),
    Refused(
        "for another namespace",
        lambda site: site.signature.write_bytes(site.key.sign(SIGNED, "git")),
        f"plugins.d/demo.py: has a signature that was made for something else; sign it for hostd: {AGAIN}",
    ),
    Refused(
        "by a key that may not sign plugins",
        lambda site: site.signers.write_text(site.key.line('namespaces="git"')),
        "plugins.d/demo.py: is signed with a key that may not sign plugins; "
        'write namespaces="hostd" in the line of that key in {signers}',
    ),
    Refused(
        "expired",
        lambda site: site.signers.write_text(site.key.line('valid-before="20200102"')),
        "plugins.d/demo.py: is signed with a key that has expired (verify time … > valid-before 2020-01-02T00:00:00); "
        "sign it with a key that is valid, or mend valid-before in {signers}",
    ),
    Refused(
        "not valid yet",
        lambda site: site.signers.write_text(site.key.line('valid-after="20980102"')),
        "plugins.d/demo.py: is signed with a key that is not valid yet "
        "(verify time … < valid-after 2098-01-02T00:00:00); wait until then, or mend valid-after in {signers}",
    ),
    Refused(
        "the plugin was changed",
        lambda site: site.plugin.write_text(f"{SIGNED}\n"),
        "plugins.d/demo.py: does not fit its signature: one of the two was changed; "
        f"put back both, or sign it again: {AGAIN}",
    ),
    Refused(
        "cut",
        lambda site: site.signature.write_bytes(site.signature.read_bytes()[:100]),
        f"plugins.d/demo.py: has a signature that is damaged, or none; sign it again: {AGAIN}",
    ),
    Refused(
        "empty",
        lambda site: site.signature.write_bytes(b""),
        f"plugins.d/demo.py: has a signature that is damaged, or none; sign it again: {AGAIN}",
    ),
    Refused(
        "not text",
        lambda site: site.signature.write_bytes(bytes(range(256))),
        f"plugins.d/demo.py: has a signature that is damaged, or none; sign it again: {AGAIN}",
    ),
    Refused(
        "too large",
        lambda site: site.signature.write_bytes(b"x" * 65537),
        "plugins.d/demo.py.sig: has 65537 bytes, more than 65536; make it smaller",
    ),
    Refused(
        "a FIFO",
        lambda site: (site.signature.unlink(), os.mkfifo(site.signature)),
        "plugins.d/demo.py.sig: is not a regular file; drop a file",
    ),
    Refused(
        "no file of allowed signers",
        lambda site: site.signers.unlink(),
        "{signers}: the allowed signers cannot be read: No such file or directory; "
        "make that file, or correct [plugins.trust] allowed_signers",
    ),
    Refused(
        "allowed signers that others may write",
        lambda site: site.signers.chmod(0o666),
        "{signers}: is writable by everyone (mode 0666), so others could change what runs; chmod go-w {signers}",
    ),
]


@needs_ssh_keygen
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_what_no_allowed_signer_signed_is_refused(state: Refused, site: Site) -> None:
    """The message says what is wrong with the signature and what to do; nothing is parsed or kept."""
    state.make(site)
    refusal = site.refusal()
    expected = state.message.format(signers=site.signers, key=site.key.fingerprint, stranger=site.stranger.fingerprint)
    head, _, tail = expected.partition("…")
    assert str(refusal).startswith(head)
    assert str(refusal).endswith(tail)
    assert tail or str(refusal) == head
    assert refusal.digest == hashlib.sha256(site.plugin.read_bytes()).hexdigest()
    assert not site.store.exists()


@needs_ssh_keygen
def test_a_signature_is_verified_before_anything_is_read_out_of_the_plugin(site: Site) -> None:
    """What is no plugin at all is refused for its signature; with one, for what it is."""
    site.plugin.write_bytes(b"\xff no text")
    assert site.refusal().problem == "does not fit its signature: one of the two was changed"
    site.signature.write_bytes(site.key.sign(b"\xff no text"))
    assert site.refusal().problem == "is not UTF-8"


@needs_ssh_keygen
def test_a_signature_that_is_being_written_is_waited_for(site: Site) -> None:
    """It is neither missing nor damaged."""
    whole = site.signature.read_bytes()
    with site.signature.open("wb") as file:
        file.write(whole[:50])
        file.flush()
        with pytest.raises(BeingWrittenError):
            site.read()
        file.write(whole[50:])
    assert site.read().manifest.name == "demo"


@needs_ssh_keygen
def test_the_bytes_that_were_verified_are_the_bytes_that_are_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is exchanged while its signature is being verified changes nothing."""
    verify = trust._keygen

    def exchange_then_verify(*arguments: str, content: bytes = b"") -> object:
        site.plugin.write_text("raise SystemExit")
        site.signature.write_text("another")
        return verify(*arguments, content=content)

    signature = site.signature.read_bytes()
    monkeypatch.setattr(trust, "_keygen", exchange_then_verify)
    found = site.read()
    assert Path(found.private).read_text() == SIGNED
    assert (Path(found.private).parent / "demo.py.sig").read_bytes() == signature


@needs_ssh_keygen
def test_a_private_copy_is_judged_by_the_signature_that_was_kept_with_it(site: Site) -> None:
    """Whatever lies in the folder by then; a key that was revoked, and a pin, hold for it too."""
    kept = Path(site.read().private)
    site.plugin.unlink()
    site.signature.unlink()

    def again(**settings: object) -> Artifact:
        policy = trust.policy(Trust.model_validate({"allowed_signers": site.signers, **settings}))
        return artifacts.read(kept, site.store, policy, path=site.plugin)

    assert again().path == site.plugin
    with pytest.raises(Refusal, match="is not pinned"):
        again(sha256=["0" * 64])
    site.signers.write_text(site.stranger.line())
    with pytest.raises(Refusal, match="does not name"):
        again()
    (kept.parent / "demo.py.sig").unlink()
    with pytest.raises(Refusal, match=r"has no signature demo\.py\.sig"):
        again()
    assert again(allowed_signers=None).digest == kept.parent.name


@needs_ssh_keygen
def test_a_policy_is_another_when_the_allowed_signers_change(site: Site) -> None:
    settings = Trust(allowed_signers=site.signers)
    before = trust.policy(settings)
    assert trust.policy(settings) == before
    site.signers.write_text(site.stranger.line())
    assert trust.policy(settings) != before
    assert trust.policy(Trust()) != before
    site.signers.unlink()
    assert trust.policy(settings).signers is None


@needs_ssh_keygen
def test_ssh_keygen_that_is_missing_or_hangs_is_told_from_a_bad_signature(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again later: there may be nothing wrong with the plugin."""
    folder = tmp_path / "bin"
    folder.mkdir()
    sleep = shutil.which("sleep")
    monkeypatch.setenv("PATH", str(folder))
    refusal = site.refusal()
    assert str(refusal) == (
        "ssh-keygen: is not installed, and signatures are verified with it; apt-get install openssh-client"
    )
    assert (refusal.stage, refusal.transient) == (Stage.CHECKED, True)
    (folder / "ssh-keygen").write_text(f"#!/bin/sh\nexec {sleep} 60\n")
    (folder / "ssh-keygen").chmod(0o755)
    monkeypatch.setattr(trust, "TIMEOUT_S", 0.1)
    refusal = site.refusal()
    assert "ssh-keygen: cannot be run, or does not end: " in str(refusal)
    assert refusal.transient


def test_only_pinned_artifacts_are_taken(tmp_path: Path) -> None:
    """By their digest, which the message names, so that it can be pinned; an empty list takes all."""
    path = tmp_path / "plugins.d" / "demo.py"
    path.parent.mkdir()
    path.write_text(plugin())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    def read(*pins: str) -> Artifact:
        return artifacts.read(path, tmp_path / "store", trust.policy(Trust(sha256=pins)))

    assert read().digest == digest
    assert read("0" * 64, digest).digest == digest
    assert read(digest.upper()).digest == digest
    with pytest.raises(Refusal) as caught:
        read("0" * 64)
    assert str(caught.value) == (
        f"plugins.d/demo.py: is not pinned: its SHA-256 is {digest}; "
        "add that to [plugins.trust] sha256 in hostd.toml if this is the file you mean"
    )
    assert caught.value.digest == digest


def test_ownership_can_be_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "plugins.d" / "demo.py"
    path.parent.mkdir()
    path.write_text(plugin())
    path.chmod(0o666)
    with pytest.raises(Refusal):
        artifacts.read(path, tmp_path / "store")
    assert artifacts.read(path, tmp_path / "store", trust.policy(Trust(ownership=False))).path == path
