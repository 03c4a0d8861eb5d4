"""Links between pages, and from pages into the repository, lead somewhere; and every page can be reached."""

import re
from pathlib import Path

import pytest

from tests.docs.fences import ROOT, documents

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)


def _links(page: Path) -> list[str]:
    return [match["target"] for match in _LINK.finditer(_CODE.sub("code", page.read_text(encoding="utf-8")))]


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = [match["text"].strip() for match in _HEADING.finditer(page.read_text(encoding="utf-8"))]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _inside(page: Path, target: str) -> tuple[Path, str]:
    path, _, anchor = target.partition("#")
    return ((page.parent / path).resolve() if path else page), anchor


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_the_page_lead_somewhere(page: Path) -> None:
    for target in _links(page):
        if target.startswith("https://"):
            continue
        path, anchor = _inside(page, target)
        assert path.exists(), f"{target} is not there"
        assert path.is_relative_to(ROOT), f"{target} leads out of the repository"
        if anchor:
            assert anchor in _anchors(path), f"{path.name} has no heading #{anchor}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        ahead += [_inside(page, target)[0] for target in _links(page) if not target.startswith("https://")]
    assert set(documents()) - reached == set()
