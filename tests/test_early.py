"""What is read of the settings before all of them are: the same as they say in full, or nothing."""

from pathlib import Path

import pytest

from hostd import config, early


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[plugins.sandbox]\nmode = "off"\n',
        '[plugins]\nsandbox.mode = "required"\n[state]\nfolder = "/var/lib/hostd/state"\n',
        '[state]\nfolder = "../elsewhere/./state"\n',
    ],
)
def test_what_is_read_early_is_what_is_read_later(text: str, tmp_path: Path) -> None:
    """Mode and state folder, with the same defaults and from the same base."""
    path = tmp_path / "hostd.toml"
    path.write_text(text)
    settings = config.load(path)
    assert early.peek(path) == (settings.plugins.sandbox.mode, settings.state.folder)


def test_without_settings_it_is_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where the command is run."""
    monkeypatch.chdir(tmp_path)
    assert early.peek(None) == ("auto", tmp_path / "state")
    assert config.load(None).state.folder == tmp_path / "state"


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "plugins = 1\nstate = 1",
        '[plugins.sandbox]\nmode = "on"',
        "[state]\nfolder = 1",
        "[plugins.sandbox]\nmode = 1",
    ],
)
def test_what_is_wrong_is_left_to_those_who_explain_it(text: str, tmp_path: Path) -> None:
    """Nothing is started then."""
    path = tmp_path / "hostd.toml"
    path.write_text(text)
    assert early.peek(path) is None
    assert early.peek(tmp_path / "missing.toml") is None
