"""Access logs to parse: in the combined format, the same bytes on every machine, and made anew in seconds.

With HOSTD_CORPUS set, `$HOSTD_CORPUS/access/apache_logs.log` is repeated instead.
"""

import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

BLOCK_LINES = 4_000
LINES_A_SECOND = 40
BEGAN = datetime(2024, 3, 9, 22, 0, 0, tzinfo=UTC)

_NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
_METHODS = ("GET",) * 17 + ("POST", "POST", "HEAD")
_STATUSES = ("200",) * 16 + ("304", "301", "404", "500")
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:123.0) Gecko/20100101 Firefox/123.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +http://www.example.com/bot.html)",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0 Mobile Safari/537",
    "curl/8.6.0",
)
_WORDS = ("images", "static", "blog", "api", "v2", "search", "articles", "products", "assets", "user", "feed", "tags")
_ENDINGS = (".html", ".png", ".css", ".js", "/", "?page=2", "?q=log+parser&sort=date", ".jpg", "?utm_source=mail")


def write(path: Path, size: int) -> int:
    """Write at least `size` bytes of whole lines; return how many lines."""
    if folder := os.environ.get("HOSTD_CORPUS"):
        return _repeat(Path(folder) / "access" / "apache_logs.log", path, size)
    return make(path, size)


def make(path: Path, size: int) -> int:
    """Write at least `size` bytes of made lines, each of the ordinary form, whatever the environment says."""
    chosen = random.Random(20240309)  # one seed: the same log every time
    lines = written = 0
    with path.open("wb") as out:
        while written < size:
            written += out.write(_block(chosen, lines))
            lines += BLOCK_LINES
    return lines


def _block(chosen: random.Random, first: int) -> bytes:
    networks, methods = chosen.choices(_NETWORKS, k=BLOCK_LINES), chosen.choices(_METHODS, k=BLOCK_LINES)
    statuses, agents = chosen.choices(_STATUSES, k=BLOCK_LINES), chosen.choices(_AGENTS, k=BLOCK_LINES)
    words, endings = chosen.choices(_WORDS, k=2 * BLOCK_LINES), chosen.choices(_ENDINGS, k=BLOCK_LINES)
    number = chosen.random
    lines = []
    for i in range(BLOCK_LINES):
        at = BEGAN + timedelta(seconds=(first + i) // LINES_A_SECOND)
        user = "-" if i % 9 else "dana"
        referer = "-" if i % 4 == 0 else f"https://www.example.com/{words[2 * i + 1]}/{words[2 * i]}/index.html"
        lines.append(
            f"{networks[i]}.{int(number() * 254) + 1} - {user} [{at:%d/%b/%Y:%H:%M:%S} +0000]"
            f' "{methods[i]} /{words[2 * i]}/{words[2 * i + 1]}/{int(number() * 100_000)}{endings[i]} HTTP/1.1"'
            f' {statuses[i]} {int(number() ** 3 * 200_000)} "{referer}" "{agents[i]}"\n'
        )
    return "".join(lines).encode()


def _repeat(real: Path, path: Path, size: int) -> int:
    content = real.read_bytes()
    content += b"" if content.endswith(b"\n") else b"\n"
    times = -(-size // len(content))
    with path.open("wb") as out:
        for _ in range(times):
            out.write(content)
    return times * content.count(b"\n")
