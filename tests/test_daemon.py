"""Stopping within one period of grace, whatever of it takes how long."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hostd import events
from hostd.config import Config
from hostd.daemon import Daemon


def drained_s(monkeypatch: pytest.MonkeyPatch, grace_s: float, *, flush_s: float, save_s: float) -> tuple[float, bool]:
    """Drain a daemon whose last commit and write take so long; return how long, and whether the write was begun."""
    begun: list[str] = []

    async def rest(name: str, seconds: float) -> None:
        begun.append(name)
        await asyncio.sleep(seconds)

    async def drain() -> None:
        parts: dict[str, Any] = {
            "_reloader": SimpleNamespace(settings=SimpleNamespace(daemon=SimpleNamespace(grace_s=grace_s))),
            "_intakes": SimpleNamespace(close=lambda _: rest("intakes", 0)),
            "_pump": SimpleNamespace(close=lambda _: rest("pump", 0)),
            "_committer": SimpleNamespace(flush=lambda: rest("flush", flush_s), hurry=lambda: None),
            "_swapper": SimpleNamespace(register=SimpleNamespace(save_recent=lambda: rest("save", save_s))),
        }
        daemon = Daemon(Config(), Path("hostd.toml"))
        vars(daemon).update(parts)
        await daemon._drain()

    monkeypatch.setattr(events, "emit", lambda *_, **__: None)
    began = time.monotonic()
    asyncio.run(drain())
    return time.monotonic() - began, "save" in begun


def test_two_waits_share_what_is_left_of_the_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    took_s, _ = drained_s(monkeypatch, 1.0, flush_s=0.8, save_s=0.8)
    assert 0.8 <= took_s < 1.4


def test_a_commit_that_takes_longer_than_the_grace_period_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    took_s, is_saved = drained_s(monkeypatch, 0.3, flush_s=60, save_s=0)
    assert is_saved
    assert took_s < 2
