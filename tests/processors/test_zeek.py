"""The processor `zeek`."""

from tests.processors.support import parse, plainly, records

HEADER = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tdns\n"


def rows(*lines: str) -> list[dict[str, object]]:
    return records("zeek", HEADER + "\n".join(lines))


def test_values_are_of_the_types_that_the_log_says() -> None:
    names = "#fields\tts\tn\td\tb\ts\tv\te"
    types = "#types\ttime\tcount\tinterval\tbool\tstring\tvector[count]\tset[string]"
    assert rows(names, types, "1715940303.5\t7\t0.5\tT\t(empty)\t1,2\t(empty)", "-\t-\t-\t-\t-\t-\t-") == [
        {
            "timestamp": "2024-05-17T10:05:03.5Z",
            "log": "dns",
            "ts": 1715940303.5,
            "n": 7,
            "d": 0.5,
            "b": True,
            "s": "",
            "v": [1, 2],
            "e": [],
        },
        {"log": "dns", **dict.fromkeys(("ts", "n", "d", "b", "s", "v", "e"))},
    ]


def test_the_separator_may_be_another_and_bytes_may_be_escaped() -> None:
    assert records("zeek", "#separator ,\n#fields,a,b\n#types,string,string\nx\\x2cy,\\xc3\\xa9") == [
        {"a": "x,y", "b": "é"}
    ]


def test_what_is_not_of_its_type_stays_text() -> None:
    assert rows("#fields\tts\tn", "#types\ttime\tcount", "XXX.XX\tmany") == [
        {"log": "dns", "ts": "XXX.XX", "n": "many"}
    ]


def test_a_new_header_in_the_middle_holds_from_there_on() -> None:
    found = rows("#fields\ta", "#types\tcount", "1", "#fields\tb\tc", "#types\tstring\tcount", "x\t2")
    assert [sorted(one) for one in found] == [["a", "log"], ["b", "c", "log"]]


def test_a_row_that_does_not_fit_is_rejected_alone() -> None:
    outcome = parse("zeek", f"x\n{HEADER}#fields\ta\n#types\tcount\n1\t2\n3\n".encode())
    assert outcome.records == [{"log": "dns", "a": 3}]
    assert outcome.rejected == [
        (b"x", "ValueError: there is no #fields and #types before this row"),
        (b"1\t2", "ValueError: expected 1 columns, found 2"),
    ]


def test_an_empty_value_of_a_type_that_is_not_known_is_text_alone_and_among_others() -> None:
    data = b"#fields\ta\tb\n#types\tlist[string]\tset[string]\n(empty)\t(empty)\n"
    together = parse("zeek", data + b"(empty)\t(empty)\n" * 3)
    with plainly("zeek"):
        assert parse("zeek", data + b"(empty)\t(empty)\n" * 3) == together
    assert together.records == [{"a": "", "b": []}] * 4
