"""Tools for one pass, which know nothing of the next one: lnav and Miller."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Files, Parser, ask, plain, program

_QUERY = (
    ";SELECT c_ip AS client, cs_username AS user, log_time AS time, cs_method AS method,"
    " cs_uri_stem || coalesce('?' || cs_uri_query, '') AS path, cs_version AS protocol, sc_status AS status,"
    " sc_bytes AS bytes, cs_referer AS referer, cs_user_agent AS agent FROM access_log"
)
_MILLER = (
    '$time = substr($day, 1, 20) . " " . substr($zone, 0, 4); r = splitax($request, " ");'
    " $method = r[1]; $path = r[2]; $protocol = r[3]"
)


class Lnav(Parser):
    """Its own access_log format, by its SQL; it reads times, in whole UTC, and has no ident."""

    name = "lnav, access_log"
    install = "apt-get install lnav"
    ends = True
    agent = False
    most_mib = 64

    def version(self) -> str | None:
        return ask(program("lnav"), "-V")

    def prepare(self, files: Files) -> Sequence[str | Path]:
        found = program("lnav")
        assert found is not None
        return [found, "-n", "-q", "-c", _QUERY, "-c", f":write-jsonlines-to {files.out}", files.log]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "TZ": "UTC"}

    def plain(self, record: Mapping[str, Any]) -> dict[str, str]:
        return plain({**record, "timestamp": f"{record['time']}+00:00"})


class Miller(Parser):
    """The log as CSV with blanks between its fields, and the request split."""

    name = "Miller"
    install = "apt-get install miller"
    ends = True
    agent = False
    most_mib = 64

    def version(self) -> str | None:
        return ask(program("mlr"), "--version")

    def prepare(self, files: Files) -> Sequence[str | Path]:
        found = program("mlr")
        assert found is not None
        columns = "client,ident,user,day,zone,request,status,bytes,referer,agent"
        verbs = ["label", columns, "then", "put", _MILLER, "then", "cut", "-x", "-f", "day,zone,request"]
        read: list[str | Path] = [found, "--icsv", "--ifs", " ", "--implicit-csv-header", "--ojsonl"]
        return ["sh", "-c", 'out=$1; shift; exec "$@" > "$out"', "sh", files.out, *read, *verbs, files.log]
