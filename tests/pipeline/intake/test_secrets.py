"""Tokens and certificates: what cannot be used says why, and what to do."""

from pathlib import Path

import pytest

from hostd.errors import ConfigError
from hostd.pipeline.intake.secrets import read_token, server_context
from tests.live.senders import certificates


def test_a_token_is_the_word_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\n")
    path.chmod(0o600)
    assert read_token(path) == b"0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        ("0123456789abcdef", 0o640, "others than hostd's user can reach the token: its mode is 0640"),
        ("short", 0o600, "a token is one word of 16 characters at least"),
        ("0123456789abcdef and more", 0o600, "a token is one word of 16 characters at least"),
        ("", 0o600, "a token is one word of 16 characters at least"),
    ],
)
def test_a_token_that_cannot_be_used_is_refused_and_not_shown(
    tmp_path: Path, content: str, mode: int, problem: str
) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigError) as refused:
        read_token(path)
    assert str(refused.value).startswith(f"{path}: {problem}")
    assert not content or content not in str(refused.value)


def test_a_token_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the token cannot be read: No such file or directory; make it: umask 077"):
        read_token(tmp_path / "none")


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    certificates(tmp_path)
    server_context(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match=r"server\.pem: it, or the key in .*client\.key, is no PEM, or they do not"):
        server_context(tmp_path / "server.pem", tmp_path / "client.key", None)
    with pytest.raises(ConfigError, match=r"none\.pem: it cannot be read: No such file"):
        server_context(tmp_path / "none.pem", None, None)
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"text: it is no PEM"):
        server_context(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "text")
