"""The processor `jvm_gc`."""

import pytest

from tests.processors.support import parse, record, records


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "[2.5s][info][gc] GC(1) Pause Full (System.gc()) 5M->1M(8M) 12.500ms",
            {"event": "Pause Full", "heap_after_bytes": 1 << 20, "duration_s": 0.0125, "gc_id": 1},
        ),
        (
            "[2.5s][info][gc] GC(0) Garbage Collection (Warmup) 206M(10%)->86M(4%)",
            {
                "event": "Garbage Collection",
                "cause": "Warmup",
                "heap_before_bytes": 206 << 20,
                "heap_after_bytes": 86 << 20,
            },
        ),
        ('[2500ms][info][safepoint] Safepoint "ICBuffer"', {"uptime_s": 2.5, "tags": ["safepoint"]}),
        ("[gc,heap] no level", {"decorations": ["gc,heap"], "body": "no level"}),
        (
            "[0.1s][info][gc] GC(0) Concurrent Mark Cycle 3.5ms",
            {"event": "Concurrent Mark Cycle", "duration_s": 0.0035},
        ),
        (
            "1.5: [Full GC (a) [Young: 1K->0K(2K)] 7K->8K(9K), [Meta: 1K->1K(1K)], 0.5 secs] [Times: real=0.01 secs]",
            {
                "event": "Full GC",
                "cause": "a",
                "heap_before_bytes": 7168,
                "heap_total_bytes": 9216,
                "duration_s": 0.5,
            },
        ),
        (
            "#7: 1,5: [GC (CMS Initial Mark) [1 CMS-initial-mark: 10K(20K)] 30K(40K), 0,0100000 secs]",
            {"event": "GC", "cause": "CMS Initial Mark", "gc_id": 7, "uptime_s": 1.5, "duration_s": 0.01},
        ),
        ("1.5: [CMS-concurrent-mark: 0.1/0.2 secs]", {"event": "CMS-concurrent-mark"}),
    ],
)
def test_what_a_line_says_of_a_collection_is_found(line: str, expected: dict[str, object]) -> None:
    one = record("jvm_gc", line)
    assert {name: one.get(name) for name in expected} == expected


def test_g1_says_the_whole_heap_on_a_later_line() -> None:
    one = record(
        "jvm_gc",
        "2024-05-17T10:05:03.143+0000: 0.143: [GC pause (G1 Evacuation Pause) (young), 0.0023 secs]",
        "   [Eden: 24.0M(24.0M)->0.0B(35.0M) Survivors: 0.0B->3072.0K Heap: 24.0M(256.0M)->4.5M(256.0M)]",
    )
    assert (one["event"], one["cause"], one["duration_s"]) == ("GC pause", "G1 Evacuation Pause", 0.0023)
    sizes = [one[f"heap_{name}_bytes"] for name in ("before", "after", "total")]
    assert sizes == [24 << 20, 9 << 19, 256 << 20]


def test_tables_of_the_heap_belong_to_the_record_before_or_are_one() -> None:
    found = records(
        "jvm_gc",
        "CommandLine flags: -Xmx1g",
        "1.5: [GC 1K->2K(3K), 0.1 secs]",
        "Heap",
        " total 5",
        "{Heap before GC",
        " a",
    )
    assert [one["body"].count("\n") for one in found] == [0, 2, 1]


def test_a_time_without_a_zone_is_of_the_option() -> None:
    one = record("jvm_gc", "[2024-05-17T10:05:03.143][info][gc] Using G1", options={"time_zone": "+02:00"})
    assert one["timestamp"] == "2024-05-17T08:05:03.143Z"


def test_a_line_without_a_message_is_rejected_alone() -> None:
    outcome = parse("jvm_gc", b"[0.1s][info][gc]x\n[0.2s][info][gc] y\n")
    assert outcome.rejected == [(b"[0.1s][info][gc]x\n", "ValueError: no decorations in brackets before a message")]
    assert len(outcome.records) == 1
