"""What is not trusted never runs; what was trusted and is no more ends at once; and mending takes no restart."""

import hashlib
from pathlib import Path

import pytest

from tests.signing import Key, make_key, needs_ssh_keygen

from .harness import Daemon, Home, plugin

SIGNED = '[plugins.trust]\nallowed_signers = "allowed_signers"\n'


@pytest.fixture
def key(home: Home) -> Key:
    """A key that the home's allowed signers name."""
    key = make_key(home.path)
    (home.path / "allowed_signers").write_text(key.line())
    return key


@pytest.fixture
def signing(home: Home, key: Key) -> Daemon:
    """A daemon that wants signatures, with a signed plugin that has parsed a line."""
    home.configure(SIGNED)
    sign_and_drop(home, key, plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    return daemon


def sign_and_drop(home: Home, key: Key, content: str, name: str = "lines.py") -> None:
    """Drop a plugin and its signature, the signature first."""
    home.drop(f"{name}.sig", key.sign(content))
    home.drop(name, content)


def serves(daemon: Daemon, version: str) -> None:
    """Check by a fresh line that this version serves, and that no line is lost or doubled."""
    before = daemon.home.lines()
    daemon.home.append("a.log", f"line {len(before)}")
    records = daemon.wait_records("lines", len(before) + 1)
    assert (records[-1]["line"], records[-1]["by"]) == (f"line {len(before)}", version)


def test_a_mode_that_lets_others_write_is_refused_until_it_is_mended(home: Home, daemon: Daemon) -> None:
    """The message holds the command; typing it brings the plugin up, without a restart or a signal."""
    loose = home.aside(plugin())
    loose.chmod(0o666)
    path = loose.rename(home.plugins / "lines.py")
    refused = daemon.wait_event("artifact.refused")
    assert (refused["stage"], refused["reason"]) == (
        "checked",
        f"plugins.d/lines.py: is writable by everyone (mode 0666), so others could change what runs; chmod go-w {path}",
    )
    home.append("a.log", "1")
    path.chmod(0o644)
    daemon.wait_records("lines", 1)
    assert daemon.status()["refused"] == []


def test_a_folder_that_others_may_write_is_refused_once_until_it_is_mended(home: Home) -> None:
    """Nothing is taken from it, what serves goes on, and the change of mode is noticed by itself."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.plugins.chmod(0o777)
    refused = daemon.wait_event("artifact.refused", deadline_s=5)
    reason = (
        f"{home.plugins}: is writable by everyone (mode 0777), so others could change what runs; "
        f"chmod go-w {home.plugins}"
    )
    assert refused["reason"] == reason
    home.drop("lines.py", plugin(version="2.0.0"))
    home.drop("other.py", plugin("other", glob="*.other"))
    assert daemon.rescan() == [f"plugins.d is refused: {reason}"]
    assert [(entry["path"], entry["reason"]) for entry in daemon.status()["refused"]] == [(str(home.plugins), reason)]
    serves(daemon, "1.0.0")
    home.plugins.chmod(0o755)
    daemon.wait_event("generation.switched", plugin="lines", generation=2, deadline_s=5)
    daemon.wait_event("generation.switched", plugin="other", deadline_s=5)
    assert daemon.status()["refused"] == []
    assert {event["reason"] for event in daemon.seen("artifact.refused")} == {reason}


def test_a_restart_in_a_folder_that_others_may_write_comes_up_on_what_served(home: Home) -> None:
    """From the private copy, which they could not write."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    first = home.start()
    first.wait_records("lines", 1)
    assert first.term() == 0
    home.drop("lines.py", plugin(version="6.6.6"))
    home.plugins.chmod(0o777)
    second = home.start()
    second.wait_event("artifact.refused")
    serves(second, "1.0.0")


@needs_ssh_keygen
@pytest.mark.parametrize("last", ["lines.py", "lines.py.sig"])
def test_a_signed_plugin_goes_live_when_the_second_of_its_files_arrives(home: Home, key: Key, last: str) -> None:
    """Whichever that is: neither order leaves it refused."""
    home.configure(SIGNED)
    content = plugin()
    files = {"lines.py": content.encode(), "lines.py.sig": key.sign(content)}
    home.append("a.log", "1")
    daemon = home.start()
    second = files.pop(last)
    for name, first in files.items():
        home.drop(name, first)
    if last == "lines.py.sig":
        assert "has no signature lines.py.sig beside it" in daemon.wait_event("artifact.refused")["reason"]
    home.drop(last, second)
    daemon.wait_event("generation.switched", plugin="lines", deadline_s=5)
    daemon.wait_records("lines", 1)
    assert daemon.status()["refused"] == []


@needs_ssh_keygen
def test_a_plugin_that_was_tampered_with_is_refused_and_the_old_serves_on(signing: Daemon, key: Key) -> None:
    """Over a restart too; the next version that is signed takes over."""
    home = signing.home
    home.drop("lines.py", plugin(version="6.6.6"))
    refused = signing.wait_event("artifact.refused")
    assert refused["reason"].startswith("plugins.d/lines.py: does not fit its signature: one of the two was changed; ")
    assert refused["serving"] == "generation 1 (1.0.0)"
    serves(signing, "1.0.0")
    assert signing.term() == 0
    again = home.start()
    again.wait_event("artifact.refused")
    serves(again, "1.0.0")
    sign_and_drop(home, key, plugin(version="2.0.0"))
    again.wait_event("generation.switched", generation=2, deadline_s=5)
    serves(again, "2.0.0")


@needs_ssh_keygen
def test_a_signature_that_is_lost_ends_nothing(signing: Daemon) -> None:
    """What serves was verified with the one that is kept with it; a new file is what needs a new one."""
    (signing.home.plugins / "lines.py.sig").unlink()
    assert signing.wait_event("artifact.refused")["serving"] == "generation 1 (1.0.0)"
    serves(signing, "1.0.0")


@needs_ssh_keygen
def test_a_revoked_key_ends_what_it_signed_at_once(signing: Daemon, key: Key) -> None:
    """On SIGHUP, without a restart; its lines wait, and the private copy does not bring it back."""
    home = signing.home
    (home.path / "allowed_signers").write_text("")
    signing.hup()
    refused = signing.wait_event("artifact.refused")
    assert f"is signed with {key.fingerprint}, which {home.path}/allowed_signers does not name" in refused["reason"]
    assert refused["serving"] is None
    retired = signing.wait_event("generation.retired", plugin="lines")
    assert retired["reason"] == refused["reason"]
    home.append("a.log", "2")
    signing.wait_event("source.unrouted", source="logs/a.log")
    assert signing.term() == 0
    again = home.start()
    again.wait_event("artifact.refused")
    assert again.plugin("lines") is None
    other = make_key(home.path, "other@example.com")
    (home.path / "allowed_signers").write_text(other.line())
    home.drop("lines.py.sig", other.sign(plugin()))
    again.wait_records("lines", 2)


@needs_ssh_keygen
def test_a_key_is_replaced_without_a_swap(signing: Daemon) -> None:
    """The same bytes with another signature, and other allowed signers, are the same generation."""
    home = signing.home
    other = make_key(home.path, "other@example.com")
    home.drop("lines.py.sig", other.sign(plugin()))
    assert signing.wait_event("artifact.refused")["serving"] == "generation 1 (1.0.0)"
    home.aside(other.line()).replace(home.path / "allowed_signers")
    assert signing.rescan() == []
    serves(signing, "1.0.0")
    assert len(signing.seen("generation.switched")) == 1
    assert not signing.seen("generation.draining")


@needs_ssh_keygen
def test_signatures_can_be_demanded_while_it_runs(home: Home, key: Key, daemon: Daemon) -> None:
    """On SIGHUP what is signed goes on, and what is not ends."""
    sign_and_drop(home, key, plugin())
    home.drop("other.py", plugin("other", glob="*.other"))
    home.append("a.log", "1")
    daemon.wait_event("generation.switched", plugin="other")
    daemon.wait_records("lines", 1)
    home.configure(SIGNED)
    daemon.hup()
    assert daemon.wait_event("config.reloaded")["changed"] == ["plugins"]
    daemon.wait_event("generation.retired", plugin="other")
    serves(daemon, "1.0.0")
    assert len(daemon.seen("generation.switched", plugin="lines")) == 1
    home.configure()
    daemon.hup()
    daemon.wait_event("generation.switched", plugin="other", count=2)


def test_only_pinned_plugins_run_and_a_pin_that_is_taken_back_ends_one(home: Home) -> None:
    """Pins are settings: SIGHUP takes them over, and both directions take hold at once."""
    good, other = plugin(), plugin(version="2.0.0")
    home.configure(f'[plugins.trust]\nsha256 = ["{digest(good)}"]\n')
    home.drop("lines.py", good)
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.drop("lines.py", other)
    refused = daemon.wait_event("artifact.refused")
    assert refused["reason"].startswith(f"plugins.d/lines.py: is not pinned: its SHA-256 is {digest(other)}; add that")
    assert refused["serving"] == "generation 1 (1.0.0)"
    serves(daemon, "1.0.0")
    home.configure(f'[plugins.trust]\nsha256 = ["{digest(other)}"]\n')
    daemon.hup()
    daemon.wait_event("generation.switched", generation=2)
    serves(daemon, "2.0.0")
    home.configure(f'[plugins.trust]\nsha256 = ["{"0" * 64}"]\n')
    daemon.hup()
    assert "is not pinned" in daemon.wait_event("generation.retired", generation=2)["reason"]
    assert daemon.plugin("lines") is None


@needs_ssh_keygen
def test_check_and_parse_say_what_the_daemon_would(home: Home, key: Key) -> None:
    """They read the same settings: unsigned is refused, signed is taken."""
    home.configure(SIGNED)
    home.drop("lines.py", plugin())
    log: Path = home.append("a.log", "1")
    problem = "plugins.d/lines.py: has no signature lines.py.sig beside it; "
    checked = home.hostd("check", "plugins.d/lines.py")
    assert checked.returncode == 1
    assert checked.stderr.startswith(f"refused at checked: {problem}")
    parsed = home.hostd("parse", str(log))
    assert parsed.returncode == 1
    assert problem in parsed.stderr
    home.drop("lines.py.sig", key.sign(plugin()))
    assert home.hostd("check", "plugins.d/lines.py").returncode == 0
    assert home.hostd("parse", str(log)).stdout.startswith('{"line":"1"')


def digest(content: str) -> str:
    """Return the SHA-256 of a plugin."""
    return hashlib.sha256(content.encode()).hexdigest()
