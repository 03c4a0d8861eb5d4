"""A results file of `python -m benchmarks` as a chart: `python -m benchmarks.plot RESULTS.json UNIT OUT.svg`.

One bar for each series in that unit, the median, with a line from the least to the most; the first is hostd's.
"""

import json
import sys
from html import escape
from pathlib import Path
from typing import Any

ROW, BAR, LEFT, WIDTH, RIGHT = 26, 16, 300, 420, 90
_STYLE = (
    "text{font:13px sans-serif;fill:#555} .bar{fill:#9ab} .first{fill:#c60} .spread{stroke:#333;stroke-width:1.5}"
    " @media (prefers-color-scheme:dark){text{fill:#bbb} .spread{stroke:#ddd}}"
)


def chart(series: list[dict[str, Any]], title: str) -> str:
    """Return the chart as SVG."""
    most = max(one["max"] for one in series)
    height = ROW * (len(series) + 1) + 8
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<text x="{LEFT}" y="17">{escape(title)}</text>',
    ]
    for number, one in enumerate(series, start=1):
        top, middle = ROW * number + 4, ROW * number + 4 + BAR / 2
        kind = "first" if number == 1 else "bar"
        low, median, high = (one[key] / most * WIDTH for key in ("min", "p50", "max"))
        drawn += [
            f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(one["label"])}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{median:.1f}" height="{BAR}"/>',
            f'<line class="spread" x1="{LEFT + low:.1f}" x2="{LEFT + high:.1f}" y1="{middle}" y2="{middle}"/>',
            f'<text x="{LEFT + high + 6:.1f}" y="{middle + 4}">{one["p50"]:.3g}</text>',
        ]
    return "\n".join([*drawn, "</svg>", ""])


def main(results: Path, unit: str, out: Path) -> None:
    """Draw what a results file holds in one unit."""
    [report] = json.loads(results.read_text())["benchmarks"]
    series = [one for one in report["series"] if one["unit"] == unit]
    if not series:
        sys.exit(f"{results} has no series in {unit}; there are {sorted({one['unit'] for one in report['series']})}")
    out.write_text(chart(series, f"{report['name']}, {unit}: median, least, most"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
