"""A plugin outlives a major version of the contract: contract 0 is served, and swapped for contract 1, live."""

import shutil

from .harness import REPOSITORY, Home, Writer, plugin

NAMES = ["a.log", "b.log"]
ZERO = """\
# /// script
# [tool.hostd]
# name = "lines"
# version = "1.0.0"
# contract = ">=0.1,<1"
# accepts = { names = ["*.log"] }
#
# [[tool.hostd.samples]]
# input = "a\\nb\\n"
# records = [{ message = "a" }, { message = "b" }]
# ///
class Lines:
    name = "lines"

    def parse(self, data: bytes) -> list[str]:
        return data.decode().splitlines()


def new_processor() -> Lines:
    return Lines()
"""


def test_the_example_of_contract_0_serves(home: Home) -> None:
    """Its messages come out, and event and status say by which contract it is served."""
    shutil.copy(REPOSITORY / "examples" / "plugins" / "fortunes.py", home.plugins)
    shutil.copy(REPOSITORY / "examples" / "logs" / "wisdom.fortunes", home.logs)
    daemon = home.start()
    records = daemon.wait_records("fortunes", 3)
    assert records[-1] == {"message": "There is no place like 127.0.0.1.", "@source": "logs/wisdom.fortunes"}
    assert daemon.wait_event("generation.started", plugin="fortunes")["contract"] == "0.1"
    serving = daemon.plugin("fortunes")
    assert serving is not None
    assert (serving["contract"], serving["rejected"]) == ("0.1", 0)


def test_contract_0_is_swapped_for_contract_1_and_back_without_loss(home: Home) -> None:
    """While lines arrive: each is in the output once, in order, made by one of the two."""
    home.drop("lines.py", ZERO)
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="lines", generation=1)
    versions = [(ZERO, "0.1"), (plugin(version="2.0.0"), "1.0"), (ZERO.replace("1.0.0", "3.0.0"), "0.1")]
    with Writer(home, NAMES).writing() as writer:
        for generation, (source, contract) in enumerate(versions, start=1):
            if generation > 1:
                home.drop("lines.py", source)
            daemon.wait_event("generation.switched", plugin="lines", generation=generation)
            started = daemon.wait_event("generation.started", plugin="lines", generation=generation)
            assert started["contract"] == contract
            before = home.raw("lines").count(b"\n")
            daemon.wait("records of it come out", lambda before=before: home.raw("lines").count(b"\n") > before + 200)
    daemon.wait_records("lines", sum(map(len, writer.written.values())))
    assert daemon.wait_all_read()["dead_letters"] == {}
    records = home.records("lines")
    assert {frozenset(record) for record in records} == {
        frozenset({"message", "@source"}),
        frozenset({"line", "by", "@source"}),
    }
    for name, written in writer.written.items():
        made = [r.get("message", r.get("line")) for r in records if r["@source"] == f"logs/{name}"]
        assert made == written
