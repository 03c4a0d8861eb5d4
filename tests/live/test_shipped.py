"""The processors that ship, in the real daemon: found by themselves, confined, and with state that outlives a crash."""

import json
import shutil
from typing import Any

from tests.live.harness import Home
from tests.processors.support import MODULES, ROOT, SHIPPED, SHIPPED_MANIFESTS


def _install(home: Home, *names: str) -> None:
    for path in SHIPPED:
        if not names or path.stem in names:
            shutil.copy(path, home.plugins)


def _sources() -> dict[str, tuple[str, bytes, list[dict[str, Any]]]]:
    """Return for each sample a source of its own: its processor, its bytes and the records expected."""
    sources = {}
    for manifest in SHIPPED_MANIFESTS:
        for number, sample in enumerate(manifest.samples):
            name = {"csv": "some.csv", "text": "some.log"}.get(manifest.name, sample.name)
            content = sample.header.encode() + sample.content()
            records = [dict(record) for record in sample.records]
            sources[f"{manifest.name}-{number}/{name}"] = (manifest.name, content, records)
    return sources


def test_every_sample_as_a_file_comes_out_as_its_records_by_itself(home: Home) -> None:
    """All processors serve at once; each file is known by its head or its name alone."""
    _install(home)
    sources = _sources()
    for source, (_, content, _) in sources.items():
        home.append(source, content)
    done = home.hostd("run", "--once")
    assert done.returncode == 3, done.stderr  # the samples hold lines that are rejected
    found: dict[str, list[dict[str, Any]]] = {}
    for path in home.out.glob("*.ndjson"):
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            found.setdefault(f"{path.stem} {record.pop('@source')}", []).append(record)
    expected = {f"{processor} logs/{source}": records for source, (processor, _, records) in sources.items() if records}
    assert found == expected
    dead = json.loads(home.hostd("dead", "list", "--json", "--limit", "1000").stdout)["letters"]
    assert len(dead) == sum(sample.rejected for manifest in SHIPPED_MANIFESTS for sample in manifest.samples)


def test_xml_without_a_declaration_is_known_and_read_as_it_grows_across_kill_9(home: Home) -> None:
    """The root never ends; which elements are the records is known from the second on, and stays so."""
    _install(home)
    daemon = home.start()
    home.append("telemetry.xml", '<log from="a">', '<e n="1"/>')
    daemon.wait_event("source.routed", source="logs/telemetry.xml", plugin="xml", why="head")
    daemon.wait_all_read()
    assert home.records("xml") == []
    daemon.kill9()
    daemon = home.start()
    home.append("telemetry.xml", '<e n="2"/>', "<e n=")
    daemon.wait_records("xml", 3)
    daemon.wait_all_read()
    daemon.kill9()
    daemon = home.start()
    home.append("telemetry.xml", "'3'/>", "<f/>")
    records = daemon.wait_records("xml", 5)
    assert [record.get("n") for record in records] == [None, "1", "2", "3", None]
    assert [record["element"] for record in records] == ["log", "e", "e", "e", "f"]


def test_a_line_that_docker_has_split_is_joined_across_kill_9(home: Home) -> None:
    _install(home, "docker_json")
    daemon = home.start()
    home.append("c-json.log", r'{"log":"whole\n","stream":"stdout"}', '{"log":"half of ","stream":"stdout"}')
    daemon.wait_records("docker_json", 1)
    daemon.wait_all_read()
    daemon.kill9()
    daemon = home.start()
    home.append("c-json.log", r'{"log":"a line\n","stream":"stdout"}', r'{"log":"more\n","stream":"stdout"}')
    records = daemon.wait_records("docker_json", 3)
    assert [record["body"] for record in records] == ["whole", "half of a line", "more"]


def test_an_operators_time_zone_holds_for_a_processor_that_ships(home: Home) -> None:
    _install(home, "error_log")
    home.configure('[plugins.options.error_log]\ntime_zone = "Europe/Berlin"\n')
    daemon = home.start()
    home.append("error.log", "2024/05/17 10:05:03 [error] 12#34: *56 no", "2024/05/17 10:05:04 [error] 12#34: *56 yes")
    records = daemon.wait_records("error_log", 2)
    assert [record["timestamp"] for record in records] == ["2024-05-17T08:05:03Z", "2024-05-17T08:05:04Z"]


def test_an_option_that_is_no_time_zone_is_refused_by_name(home: Home) -> None:
    _install(home, "error_log")
    home.configure('[plugins.options.error_log]\ntime_zone = "Middle/Earth"\n')
    daemon = home.start()
    refused = daemon.wait_event("artifact.refused", plugin="error_log")
    assert "time_zone" in refused["reason"]
    assert "'Middle/Earth' is no time zone; write UTC, +02:00, or a name such as Europe/Berlin" in refused["reason"]


def test_the_settings_of_make_run_take_every_processor_into_service(home: Home) -> None:
    assert {path.stem for path in (ROOT / "plugins.d").glob("*.py")} == {path.stem for path in SHIPPED}
    _install(home)
    daemon = home.start()
    for path in SHIPPED:
        switched = daemon.wait_event("generation.switched", plugin=path.stem)
        assert switched["version"] == MODULES[path.stem][0].version
