"""Which of several files serves a name: every case, without a process."""

from pathlib import Path

import pytest

from hostd.errors import Refusal
from hostd.plugins.artifact import Artifact
from hostd.plugins.choice import Choice, choose
from hostd.plugins.generation import generation_key
from hostd.plugins.inventory import Known
from tests.build import artifact

SIGNATURE = (0, 0, 0, 0, 0)


def known(*artifacts: Artifact | None) -> list[Known]:
    """Return the folder's contents, seen in this order."""
    return [Known(SIGNATURE, each, float(at)) for at, each in enumerate(artifacts)]


def serving(found: Artifact) -> dict[str, Path]:
    """Return what is in service when `found` is."""
    return {found.manifest.name: found.path}


def files_of(choice: Choice) -> dict[str, str]:
    """Return the file that is wanted for each name."""
    return {name: want.artifact.path.name for name, want in choice.wants.items()}


def texts(aside: list[tuple[Artifact, Refusal]]) -> list[str]:
    """Return what is said of files that were set aside."""
    return [str(refusal) for _, refusal in aside]


@pytest.fixture
def old(tmp_path: Path) -> Artifact:
    return artifact(tmp_path, file="a_old.py", version="1.9")


@pytest.fixture
def new(tmp_path: Path) -> Artifact:
    return artifact(tmp_path, file="b_new.py", version="1.10")


@pytest.fixture
def twin(tmp_path: Path) -> Artifact:
    return artifact(tmp_path, "# other bytes\n", file="c_twin.py", version="1.10")


def test_each_name_is_chosen_by_itself_and_refused_files_do_not_count(tmp_path: Path, old: Artifact) -> None:
    """Names do not compete; a file without an artifact is nobody's."""
    other = artifact(tmp_path, file="other.py", name="other")
    choice = choose(known(old, None, other), {}, {}, lambda _: False)
    assert files_of(choice) == {"demo": "a_old.py", "other": "other.py"}
    assert choice.wants["other"].seen_at == 2.0
    assert (choice.standby, choice.conflicts) == ([], [])


@pytest.mark.parametrize("turn", [1, -1])
def test_the_higher_version_wins_and_the_lower_stands_by(old: Artifact, new: Artifact, turn: int) -> None:
    """1.10 is higher than 1.9, whatever order the folder lists them in, and whichever serves."""
    for current in ({}, serving(old), serving(new)):
        choice = choose(known(old, new)[::turn], current, {}, lambda _: False)
        assert files_of(choice) == {"demo": "b_new.py"}
        assert texts(choice.standby) == [
            "plugins.d/a_old.py: stand-by: plugins.d/b_new.py has demo 1.10; remove that file to go back to this one"
        ]
        assert choice.conflicts == []


def test_removing_the_higher_goes_back_to_the_lower(old: Artifact, new: Artifact) -> None:
    """rm is the whole interface."""
    assert files_of(choose(known(old), serving(new), {}, lambda _: False)) == {"demo": "a_old.py"}


def test_a_twin_with_other_bytes_is_a_conflict_and_what_serves_stays(new: Artifact, twin: Artifact) -> None:
    """The same name and version from another file never displaces what is in service."""
    for first, second in ((new, twin), (twin, new)):
        choice = choose(known(new, twin), serving(first), {}, lambda _: False)
        assert files_of(choice) == {"demo": first.path.name}
        assert choice.standby == []
        [text] = texts(choice.conflicts)
        assert text == (
            f"plugins.d/{second.path.name}: has the name and version of plugins.d/{first.path.name}, demo 1.10,"
            " but other bytes; give it a higher version, or remove one of the two"
        )


def test_a_copy_stands_by(tmp_path: Path, new: Artifact) -> None:
    """The same bytes under another name are no conflict."""
    copy = artifact(tmp_path, file="copy.py", version="1.10")
    assert copy.digest == new.digest
    choice = choose(known(new, copy), serving(new), {}, lambda _: False)
    assert [found.path.name for found, _ in choice.standby] == ["copy.py"]
    assert choice.conflicts == []


def test_a_refused_version_falls_back_to_the_next(old: Artifact, new: Artifact) -> None:
    """A bad version never leaves a name without its good one; with none left, nothing is wanted."""
    choice = choose(known(old, new), {}, {}, lambda want: want.artifact is new)
    assert files_of(choice) == {"demo": "a_old.py"}
    assert files_of(choose(known(old, new), {}, {}, lambda _: True)) == {}


def test_options_are_part_of_what_is_wanted(old: Artifact) -> None:
    """A changed option is another generation; one of another plugin is not."""
    plain = choose(known(old), {}, {"other": {"x": 1}}, lambda _: False).wants["demo"]
    first = choose(known(old), {}, {"demo": {"x": 1}}, lambda _: False).wants["demo"]
    second = choose(known(old), {}, {"demo": {"x": 2}}, lambda _: False).wants["demo"]
    assert (plain.options, first.options) == (None, {"x": 1})
    assert len({plain.key, first.key, second.key}) == 3
    assert plain.key == generation_key(old, None)
