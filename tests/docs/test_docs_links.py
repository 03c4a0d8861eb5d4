"""Links between pages, and from pages into the repository, lead somewhere; and every page can be reached."""

import re
from pathlib import Path

import pytest

from hostd import cli, events
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


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_the_page_names_is_there(page: Path) -> None:
    """Commands with their options, and events: also those in a sentence, which nothing runs."""
    text = " ".join(page.read_text(encoding="utf-8").split())
    for name, arguments in re.findall(r"`hostd ([a-z]+)\b([^`]*)`", text):
        assert name in cli.COMMANDS, f"there is no command {name}"
        known = _section("cli.md", f"hostd {name}")
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", arguments):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", known), f"hostd {name} has no {option}"
    families = {event.partition(".")[0] for event in events.CATALOGUE}
    named = re.findall(r"`([a-z]+)\.([a-z_]+)`", text)
    told = {f"{family}.{fact}" for family, fact in named if family in families and fact not in ("db", "py", "toml")}
    assert told - events.CATALOGUE.keys() == set()


def _section(page: str, heading: str) -> str:
    """Return what a page of the reference says under a heading, up to the next of the same kind."""
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    return text.partition(f"\n## `{heading}`\n")[2].partition("\n## ")[0]


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
