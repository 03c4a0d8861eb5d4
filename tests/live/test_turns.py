"""Many sources at once: none waits for others that always have more."""

from collections import defaultdict

from .harness import Home, plugin

BUSY = 64
"""As many as are read at once of one plugin."""


def slow(seconds: float) -> str:
    """Return a plugin whose batches are small, and take their time where a line begins with `busy`."""
    return plugin(manifest="limits = { batch_kib = 1 }", code="\nimport time\n").replace(
        "    return {", f'    time.sleep({seconds} if line.startswith("busy") else 0)\n    return {{'
    )


def test_a_source_is_read_while_all_that_are_read_have_more(home: Home) -> None:
    """Each batch of theirs takes its time, and they would keep the plugin busy for half a minute."""
    home.drop("lines.py", slow(0.0001))
    for number in range(BUSY):
        home.append(f"busy{number:02}.log", *(f"busy {line}" for line in range(8_000)))
    daemon = home.start()
    daemon.wait("all are being read", lambda: home.raw("lines").count(b"\n") > 10_000)
    home.append("late.log", "late")
    daemon.wait("the late one is read", lambda: b'"late"' in home.raw("lines"))
    assert home.raw("lines").count(b"\n") < BUSY * 8_000 // 2


def test_logs_that_are_let_go_while_others_wait_go_on_where_they_were(home: Home) -> None:
    """The settings name none of them any more, and all again at once: each line once, in its order."""
    home.drop("lines.py", slow(0.00002))
    names = [f"busy{number:02}.log" for number in range(BUSY + 16)]
    for name in names:
        home.append(name, *(f"busy {line}" for line in range(1_500)))
    daemon = home.start()
    text = home.settings.read_text()
    daemon.wait("all are being read", lambda: home.raw("lines").count(b"\n") > 10_000)
    home.settings.write_text(text.replace("logs/", "elsewhere/"))
    assert daemon.rescan() == ["settings changed: sources"]
    home.settings.write_text(text)
    assert daemon.rescan() == ["settings changed: sources"]
    daemon.wait("all is read", lambda: home.raw("lines").count(b"\n") >= 1_500 * len(names))
    daemon.wait_all_read()
    found = defaultdict(list)
    for record in home.records("lines"):
        found[record["@source"]].append(int(record["line"].split()[1]))
    assert found == {f"logs/{name}": list(range(1_500)) for name in names}
    assert not daemon.seen("source.unreadable")


def test_logs_of_which_only_one_fits_into_memory_are_read_in_turn(home: Home) -> None:
    """What one was given is not handed from each to the other for ever."""
    home.configure("[pipeline]\nmemory_mib = 8\n")
    home.drop("lines.py", plugin(manifest="limits = { batch_kib = 1024 }"))
    for name in ("a.log", "b.log", "c.log"):
        home.append(name, *(f"{number} {'x' * 1000}" for number in range(4_000)))
    daemon = home.start()
    daemon.wait("all is read", lambda: home.raw("lines").count(b"\n") == 12_000)
    assert daemon.term() == 0
