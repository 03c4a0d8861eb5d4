"""Which of several files serves a name: every case, without a process."""

from pathlib import Path
from typing import Any

import pytest

from hostd.errors import Refusal
from hostd.past import Hold, Past
from hostd.plugins.artifact import Artifact
from hostd.plugins.choice import Choice, Facts, Want, again, choose
from hostd.plugins.generation import generation_key
from hostd.plugins.inventory import Known
from tests.build import artifact

SIGNATURE = (0, 0, 0, 0, 0)


def known(*artifacts: Artifact | Path) -> dict[Path, Known]:
    """Return the folder's contents, seen in this order; a path is a file that is no artifact."""
    return {
        each if isinstance(each, Path) else each.path: Known(
            SIGNATURE, None if isinstance(each, Path) else each, float(at)
        )
        for at, each in enumerate(artifacts)
    }


def serving(found: Artifact) -> dict[str, Artifact]:
    """Return what is in service when `found` is."""
    return {found.manifest.name: found}


def decide(files: dict[Path, Known], in_service: dict[str, Artifact] | None = None, **more: Any) -> Choice:
    """Choose, with nothing held, refused, set or kept but what `more` says."""
    facts: dict[str, Any] = {
        "holds": {},
        "options": {},
        "is_refused": lambda _: False,
        "last_paths": {},
        "kept": {},
        "held": {},
    }
    return choose(Facts(files=files, serving=in_service or {}, **{**facts, **more}))


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
    choice = decide(known(old, tmp_path / "broken.py", other))
    assert files_of(choice) == {"demo": "a_old.py", "other": "other.py"}
    assert choice.wants["other"].seen_at == 2.0
    assert (choice.standby, choice.conflicts) == ([], [])


@pytest.mark.parametrize("turn", [1, -1])
def test_the_higher_version_wins_and_the_lower_stands_by(old: Artifact, new: Artifact, turn: int) -> None:
    """1.10 is higher than 1.9, whatever order the folder lists them in, and whichever serves."""
    for current in ({}, serving(old), serving(new)):
        choice = decide(known(*(old, new)[::turn]), current)
        assert files_of(choice) == {"demo": "b_new.py"}
        assert texts(choice.standby) == [
            "plugins.d/a_old.py: stand-by: plugins.d/b_new.py has demo 1.10; remove that file to go back to this one"
        ]
        assert choice.conflicts == []


def test_removing_the_higher_goes_back_to_the_lower(old: Artifact, new: Artifact) -> None:
    """rm is the whole interface."""
    assert files_of(decide(known(old), serving(new))) == {"demo": "a_old.py"}


def test_a_twin_with_other_bytes_is_a_conflict_and_what_serves_stays(new: Artifact, twin: Artifact) -> None:
    """The same name and version from another file never displaces what is in service."""
    for first, second in ((new, twin), (twin, new)):
        choice = decide(known(new, twin), serving(first))
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
    choice = decide(known(new, copy), serving(new))
    assert [found.path.name for found, _ in choice.standby] == ["copy.py"]
    assert choice.conflicts == []


def test_a_refused_version_falls_back_to_the_next(old: Artifact, new: Artifact) -> None:
    """A bad version never leaves a name without its good one; with none left, nothing is wanted."""
    choice = decide(known(old, new), is_refused=lambda key: key == generation_key(new, None))
    assert files_of(choice) == {"demo": "a_old.py"}
    assert files_of(decide(known(old, new), is_refused=lambda _: True)) == {}


def test_options_are_part_of_what_is_wanted(old: Artifact) -> None:
    """A changed option is another generation; one of another plugin is not."""
    plain = decide(known(old), options={"other": {"x": 1}}).wants["demo"]
    first = decide(known(old), options={"demo": {"x": 1}}).wants["demo"]
    second = decide(known(old), options={"demo": {"x": 2}}).wants["demo"]
    assert (plain.options, first.options) == (None, {"x": 1})
    assert len({plain.key, first.key, second.key}) == 3
    assert plain.key == generation_key(old, None)


def test_what_serves_goes_on_while_its_file_is_broken(old: Artifact, new: Artifact) -> None:
    """Not the stand-by: the one in service is the better one, and its file will be mended."""
    choice = decide(known(new.path, old), serving(new))
    assert files_of(choice) == {"demo": "b_new.py"}
    assert choice.wants["demo"].artifact is new


def test_a_restart_finds_the_last_proven_one_for_a_broken_file(old: Artifact, new: Artifact) -> None:
    """From its private copy; but a good file of that name comes first, and another file is no reason."""
    kept = {"last_paths": {"demo": new.path}, "kept": {"demo": back_to(new)}}
    assert decide(known(new.path), **kept).wants["demo"].artifact is new
    assert decide(known(new.path, old), **kept).wants["demo"].artifact is old
    assert decide(known(old.path), **kept).wants == {}


def back_to(found: Artifact, options: dict[str, Any] | None = None) -> Want:
    """Return the want for what served as generation 1, with these options."""
    key = generation_key(found, options)
    path = str(found.path)
    return again(Past("demo", 1, found.manifest.version, found.digest, key, path, path, "then"), found)


def hold(kind: str, found: Artifact) -> Hold:
    """Return a hold against `found`'s file."""
    return Hold("demo", kind, str(found.path), found.digest, 1, "why")


@pytest.mark.parametrize("kind", ["pinned", "rolled back"])
def test_a_hold_decides_until_its_file_changes(
    tmp_path: Path, old: Artifact, new: Artifact, twin: Artifact, kind: str
) -> None:
    """Other bytes in that file, or none, release it; a file that is broken now is not yet another."""
    held: dict[str, Any] = {"holds": {"demo": hold(kind, new)}, "held": {"demo": back_to(old)}}
    for files in (known(new), known(new.path), known(new, twin)):
        choice = decide(files, serving(old), **held)
        assert choice.wants["demo"].artifact is old
        assert choice.wants["demo"].is_decided
        assert choice.released == []
    changed = artifact(tmp_path, "# mended\n", file=new.path.name, version="1.10")
    choice = decide(known(changed), serving(old), **held)
    assert choice.wants["demo"].artifact is changed
    assert [why for _, why in choice.released] == ["b_new.py has changed"]
    choice = decide(known(old), serving(old), **held)
    assert [why for _, why in choice.released] == ["b_new.py was removed"]
    assert not choice.wants["demo"].is_decided


def test_a_higher_version_ends_a_roll_back_but_not_a_pin(old: Artifact, new: Artifact, tmp_path: Path) -> None:
    """Who drops in the mended one under another name expects it to serve; who pinned does not."""
    higher = artifact(tmp_path, file="d.py", version="2.0")
    for kind, expected in (("rolled back", higher), ("pinned", old)):
        held: dict[str, Any] = {"holds": {"demo": hold(kind, new)}, "held": {"demo": back_to(old)}}
        choice = decide(known(new, higher), serving(old), **held)
        assert choice.wants["demo"].artifact is expected
        assert choice.released == []  # it has yet to prove itself
    held["holds"] = {"demo": hold("rolled back", new)}
    choice = decide(known(new, higher), serving(higher), **held)
    assert choice.wants["demo"].artifact is higher
    assert [why for _, why in choice.released] == ["d.py has a higher version"]


def test_a_higher_version_that_is_refused_does_not_bring_back_what_was_rolled_back(
    old: Artifact, new: Artifact, tmp_path: Path
) -> None:
    """The file that was set aside is the next best one, and yet not what serves."""
    higher = artifact(tmp_path, file="d.py", version="2.0")
    held: dict[str, Any] = {"holds": {"demo": hold("rolled back", new)}, "held": {"demo": back_to(old)}}
    choice = decide(
        known(new, higher), serving(old), is_refused=lambda key: key == generation_key(higher, None), **held
    )
    assert choice.wants["demo"].artifact is old
    assert choice.released == []


def test_what_is_gone_back_to_keeps_the_options_that_it_had(old: Artifact, new: Artifact) -> None:
    """A generation is bytes and options; with those of today it would be another one, and may be what failed."""
    held: dict[str, Any] = {"holds": {"demo": hold("rolled back", new)}, "held": {"demo": back_to(old, {"x": 1})}}
    choice = decide(known(new), serving(old), options={"demo": {"x": 2}}, **held)
    assert choice.wants["demo"].options == {"x": 1}
    assert choice.wants["demo"].key == generation_key(old, {"x": 1})


def test_what_is_held_but_cannot_start_leaves_the_choice_to_the_folder(old: Artifact, new: Artifact) -> None:
    """Anything is better than trying it again and again."""
    held: dict[str, Any] = {"holds": {"demo": hold("rolled back", new)}, "held": {"demo": back_to(old)}}
    choice = decide(known(new), is_refused=lambda key: key == generation_key(old, None), **held)
    assert choice.wants["demo"].artifact is new


def test_a_hold_whose_bytes_are_lost_does_not_leave_the_name_without(new: Artifact) -> None:
    """The folder decides then."""
    choice = decide(known(new), holds={"demo": hold("rolled back", new)})
    assert choice.wants["demo"].artifact is new
