"""Many sources at once: none waits for others that always have more."""

from .harness import Home, plugin

BUSY = 64
"""As many as are read at once of one plugin."""


def test_a_source_is_read_while_all_that_are_read_have_more(home: Home) -> None:
    """Each batch of theirs takes its time, and they would keep the plugin busy for half a minute."""
    slow = plugin(manifest="limits = { batch_kib = 1 }", code="\nimport time\n").replace(
        "    return {", '    time.sleep(0.0001 if line.startswith("busy") else 0)\n    return {'
    )
    home.drop("lines.py", slow)
    for number in range(BUSY):
        home.append(f"busy{number:02}.log", *(f"busy {line}" for line in range(8_000)))
    daemon = home.start()
    daemon.wait("all are being read", lambda: home.raw("lines").count(b"\n") > 10_000)
    home.append("late.log", "late")
    daemon.wait("the late one is read", lambda: b'"late"' in home.raw("lines"))
    assert home.raw("lines").count(b"\n") < BUSY * 8_000 // 2
