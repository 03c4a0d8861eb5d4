"""The processor `mysql_slow`."""

from tests.processors.support import parse, record, records

QUERY = """\
# Time: 2024-05-17T10:05:03.1Z
# User@Host: shop[shop] @ web [192.0.2.7]  Id:    12
# Schema: till  Last_errno: 0  Killed: 0
# Query_time: 1.5  Lock_time: 0.1 Rows_sent: 2  Rows_examined: 3
SET timestamp=1715940303;
SELECT 1
  FROM till;"""


def test_a_query_has_its_measures_as_numbers() -> None:
    assert record("mysql_slow", QUERY) == {
        "timestamp": "2024-05-17T10:05:03.1Z",
        "user": "shop",
        "host": "web",
        "ip": "192.0.2.7",
        "connection": "12",
        "schema": "till",
        "last_errno": 0,
        "killed": 0,
        "query_time": 1.5,
        "lock_time": 0.1,
        "rows_sent": 2,
        "rows_examined": 3,
        "body": "SELECT 1\n  FROM till;",
    }


def test_the_lines_that_a_server_begins_with_are_no_records() -> None:
    begin = "mysqld, Version: 8.0. started with:\nTcp port: 3306  Unix socket: x\nTime                 Id Command"
    assert len(records("mysql_slow", begin, QUERY, QUERY)) == 2


def test_a_time_that_cannot_be_rejects_its_query_alone() -> None:
    outcome = parse("mysql_slow", f"{QUERY}\n# Time: noon\nSELECT 2;\n{QUERY}\n".encode())
    assert len(outcome.records) == 2
    assert [raw for raw, _ in outcome.rejected] == [b"# Time: noon\nSELECT 2;\n"]
