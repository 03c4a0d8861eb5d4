"""Lines of each text format to parse, the same on every machine: times advance, values vary like real ones."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

BLOCK_LINES = 4_000
BEGAN = datetime(2024, 5, 17, 10, 5, 3, tzinfo=UTC)
_WORDS = (
    *("cache", "miss", "for", "key", "user", "session", "opened", "reading", "block", "of", "request", "handled"),
    *("by", "worker", "in", "pool", "after", "retry"),
)
_LOGGERS = ("com.example.shop.Till", "org.example.net.Pool", "kafka.server.ReplicaManager", "a.b.C")
_LEVELS = ("INFO",) * 12 + ("WARN", "ERROR", "DEBUG", "DEBUG")
_PATHS = (
    "/",
    "/images/logo.png",
    "/api/v2/search?q=log+parser&sort=date",
    "/static/app.css",
    "/blog/2024/05/articles.html",
)
_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36"
)

ZEEK_HEADER = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tconn_state"
    "\tlocal_orig\ttunnel_parents\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tstring\tbool\tset[string]\n"
)
W3C_HEADER = (
    "#Software: Microsoft Internet Information Services 10.0\n"
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip"
    " cs(User-Agent) sc-status time-taken\n"
)
CSV_HEADER = "id,time,customer,product,amount,price,note\n"


def block(name: str) -> bytes:
    """Return a block of lines of a format, without its header."""
    chosen = random.Random(20240517)  # one seed: the same lines every time
    return "".join(f"{line}\n" for line in MAKERS[name](chosen)).encode()


def _times() -> Iterator[datetime]:
    return (BEGAN + timedelta(milliseconds=37 * number) for number in range(BLOCK_LINES))


def _text(chosen: random.Random) -> str:
    return " ".join(chosen.choices(_WORDS, k=chosen.randint(4, 14)))


def _ip(chosen: random.Random) -> str:
    return f"{chosen.choice(('192.0.2', '198.51.100', '203.0.113'))}.{chosen.randint(1, 254)}"


def _access(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        size = chosen.choice(("-", str(chosen.randint(100, 90_000))))
        yield (
            f'{_ip(chosen)} - - [{time:%d/%b/%Y:%H:%M:%S +0000}] "GET {chosen.choice(_PATHS)} HTTP/1.1" 200 {size}'
            f' "http://www.example.com/" "{_AGENT}"'
        )


def _json(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        yield json.dumps(
            {
                "timestamp": time.isoformat(),
                "level": chosen.choice(_LEVELS).lower(),
                "logger": chosen.choice(_LOGGERS),
                "message": _text(chosen),
                "took_ms": chosen.random() * 100,
                "user": {"id": chosen.randint(1, 10**6), "ip": _ip(chosen)},
                "tags": chosen.sample(_WORDS, 2),
            }
        )


def _csv(chosen: random.Random) -> Iterator[str]:
    for number, time in enumerate(_times()):
        note = f'"{_text(chosen)}, ""{chosen.choice(_WORDS)}"""' if number % 4 == 0 else _text(chosen)
        yield (
            f"{number},{time:%Y-%m-%d %H:%M:%S},{chosen.choice(_WORDS)},{chosen.choice(_WORDS)},"
            f"{chosen.randint(1, 99)},"
            f"{chosen.randint(100, 99999) / 100},{note}"
        )


def _logfmt(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        yield (
            f'time="{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z" level={chosen.choice(_LEVELS).lower()}'
            f' msg="{_text(chosen)}" namespace=shop-{chosen.randint(1, 9)} pod=till-{chosen.randint(1000, 9999)}'
            f" took={chosen.randint(1, 999)}ms status=ok"
        )


def _syslog(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        program = chosen.choice(("systemd[1]", "CRON[7998]", "kernel", "automount[16442]", "dockerd[811]"))
        yield f"{time:%b %d %H:%M:%S} host{chosen.randint(1, 9)} {program}: {_text(chosen)}"


def _zeek(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        yield "\t".join(
            (
                *(
                    f"{time.timestamp():.6f}",
                    f"C{chosen.getrandbits(60):x}",
                    _ip(chosen),
                    str(chosen.randint(1024, 65535)),
                ),
                *(_ip(chosen), "53", "udp", chosen.choice(("dns", "-")), f"{chosen.random():.6f}"),
                *(str(chosen.randint(0, 9999)), "SF", chosen.choice("TF-"), "(empty)"),
            )
        )


def _w3c(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        yield (
            f"{time:%Y-%m-%d %H:%M:%S} 192.0.2.1 GET {chosen.choice(_PATHS[:2])} - 80 - {_ip(chosen)}"
            f" {_AGENT.replace(' ', '+')} 200 {chosen.randint(1, 999)}"
        )


def _postgres_csv(chosen: random.Random) -> Iterator[str]:
    for number, time in enumerate(_times()):
        stamp = f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03} UTC"
        yield (
            f'{stamp},"shop","shop",{chosen.randint(1000, 9999)},"{_ip(chosen)}:{chosen.randint(1024, 65535)}",'
            f'6009c305.5ce,{number},"SELECT",2024-05-17 10:00:00 UTC,14/{number},0,LOG,00000,'
            f'"duration: {chosen.random():.3f} ms  execute S_1: SELECT ""{chosen.choice(_WORDS)}"" FROM till",'
            f"\"parameters: $1 = '{number}'\""
            ',,,,,,,,"JDBC","client backend",,0'
        )


def _cri(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        yield f"{time:%Y-%m-%dT%H:%M:%S.%f}123Z {chosen.choice(('stdout', 'stderr'))} F {_text(chosen)}"


def _docker(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        line = {"log": _text(chosen) + "\n", "stream": chosen.choice(("stdout", "stderr"))}
        yield json.dumps(line | {"time": f"{time:%Y-%m-%dT%H:%M:%S.%f}123Z"}, separators=(",", ":"))


def _app_json(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        fields = {
            "level": chosen.choice(("info", "info", "info", "warn", "error", "debug")),
            "ts": round(time.timestamp(), 3),
            "caller": chosen.choice(("shop/till.go:71", "net/pool.go:7", "main.go:112")),
            "msg": _text(chosen),
            "request_id": f"{chosen.getrandbits(64):016x}",
            "took_ms": chosen.randint(1, 900),
            "user": {"id": chosen.randint(1, 9999), "name": chosen.choice(("dana", "frank"))},
        }
        yield json.dumps(fields, separators=(",", ":"))


def _s3(chosen: random.Random) -> Iterator[str]:
    owner = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"
    for time in _times():
        stamp, path, size = (
            f"{time:%d/%b/%Y:%H:%M:%S} +0000",
            f"photos/{chosen.getrandbits(32):08x}.jpg",
            chosen.randint(9, 90_000),
        )
        yield (
            f"{owner} shop [{stamp}] {_ip(chosen)} {chosen.choice(('-', 'arn:aws:iam::12:user/dana'))}"
            f" {chosen.getrandbits(64):016X} REST.GET.OBJECT {path}"
            f' "GET /shop/{path} HTTP/1.1" 200 - {size} {size} {chosen.randint(5, 90)} {chosen.randint(1, 9)}'
            f' "{chosen.choice(("-", "https://example.com/"))}" "{_AGENT}" - {chosen.getrandbits(128):032x}= SigV4'
            f" ECDHE-RSA-AES128-GCM-SHA256 AuthHeader shop.s3.amazonaws.com TLSV1.2 - -"
        )


def _haproxy(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        millisecond = f"{time.microsecond // 1000:03}"
        yield (
            f"{time:%b %d %H:%M:%S} lb1 haproxy[7]: {_ip(chosen)}:{chosen.randint(1024, 65535)}"
            f" [{time:%d/%b/%Y:%H:%M:%S}.{millisecond}] http_in~ shop/till{chosen.randint(1, 9)}"
            f" 0/0/{chosen.randint(0, 9)}/{chosen.randint(1, 999)}/{chosen.randint(1000, 1999)} 200"
            f" {chosen.randint(99, 99999)} - - ---- 2/1/0/0/0 0/0"
            f' {{example.com}} {{}} "GET {chosen.choice(_PATHS)} HTTP/1.1"'
        )


def _log4j(chosen: random.Random) -> Iterator[str]:
    for number, time in enumerate(_times()):
        yield (
            f"{time:%Y-%m-%d %H:%M:%S},{time.microsecond // 1000:03} [pool-{chosen.randint(1, 9)}]"
            f" {chosen.choice(_LEVELS):5} {chosen.choice(_LOGGERS)} - {_text(chosen)}"
        )
        if number % 50 == 0:
            yield "java.io.IOException: no\n\tat a.b.C.d(C.java:5)\n\tat a.b.C.e(C.java:7)"


def _klog(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        place = f"{chosen.choice(('reflector', 'kubelet', 'pod_workers'))}.go:{chosen.randint(1, 999)}"
        yield f"{chosen.choice('IIIIWE')}{time:%m%d %H:%M:%S.%f} {chosen.randint(1, 99999):7} {place}] {_text(chosen)}"


def _plain(chosen: random.Random) -> Iterator[str]:
    return (f"{chosen.choice(_LOGGERS)}: {_text(chosen)}" for _ in range(BLOCK_LINES))


def _vpc_flow(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        began = int(time.timestamp())
        yield (
            f"2 123456789010 eni-1235b8ca {_ip(chosen)} {_ip(chosen)} {chosen.randint(1024, 65535)} 443 6"
            f" {chosen.randint(1, 99)} {chosen.randint(40, 90_000)} {began} {began + 60} ACCEPT OK"
        )


def _elb(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        stamp = f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"
        yield (
            f"h2 {stamp} app/shop/49 {_ip(chosen)}:{chosen.randint(1024, 65535)} 10.0.0.66:9000"
            f" 0.000 {chosen.randint(0, 999) / 1000:.3f} 0.000 200 200 {chosen.randint(30, 999)} 257"
            f' "GET https://example.com:443{chosen.choice(_PATHS)} HTTP/2.0" "{_AGENT}" ECDHE-RSA-AES128-GCM-SHA256'
            f' TLSv1.2 arn:aws:elasticloadbalancing:targetgroup/shop/73 "Root=1-{chosen.getrandbits(32):08x}"'
            f' "example.com" "arn:aws:acm:certificate/12" 1 {stamp} "forward" "-" "-" "10.0.0.66:9000" "200" "-" "-"'
            f" TID_{chosen.getrandbits(64):016x}"
        )


def _redis(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        stamp = f"{time:%d %b %Y %H:%M:%S}.{time.microsecond // 1000:03}"
        yield f"1234:{chosen.choice('MMMC')} {stamp} {chosen.choice('**-#')} {_text(chosen)}"


def _logcat(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        stamp, tag = (
            f"{time:%m-%d %H:%M:%S}.{time.microsecond // 1000:03}",
            chosen.choice(("ActivityManager", "Till   ")),
        )
        ids = f"{chosen.randint(100, 9999):5} {chosen.randint(100, 9999):5}"
        yield f"{stamp} {ids} {chosen.choice('DDIIVWE')} {tag}: {_text(chosen)}"


def _apache_errors(chosen: random.Random) -> Iterator[str]:
    for time in _times():
        client = f"[client {_ip(chosen)}:{chosen.randint(1024, 65535)}] AH00124: " if chosen.random() < 0.7 else ""
        yield (
            f"[{time:%a %b %d %H:%M:%S.%f %Y}] [{chosen.choice(('core:error', 'ssl:warn', 'mpm_event:notice'))}]"
            f" [pid {chosen.randint(100, 999)}:tid 140233] {client}{_text(chosen)}"
        )


Maker = Callable[[random.Random], Iterator[str]]
MAKERS: dict[str, Maker] = {
    "access": _access,
    "json_lines": _json,
    "csv": _csv,
    "logfmt": _logfmt,
    "syslog": _syslog,
    "zeek": _zeek,
    "w3c": _w3c,
    "postgres_csv": _postgres_csv,
    "cri": _cri,
    "docker_json": _docker,
    "app_json": _app_json,
    "aws_s3": _s3,
    "haproxy": _haproxy,
    "app_log": _log4j,
    "glog": _klog,
    "text": _plain,
    "aws_vpc_flow": _vpc_flow,
    "aws_elb": _elb,
    "redis": _redis,
    "logcat": _logcat,
    "error_log": _apache_errors,
}
"""By the name of the processor."""
HEADERS = {"csv": CSV_HEADER, "zeek": ZEEK_HEADER, "w3c": W3C_HEADER}
