"""What a plugin needs against what the operator granted."""

from pathlib import Path

import pytest

from hostd.config import Grant
from hostd.errors import Refusal, Stage
from hostd.plugins import grants
from hostd.workers.launch import SHARED, Place
from tests.build import artifact


def test_a_plugin_that_needs_nothing_shares_the_place_of_all(tmp_path: Path) -> None:
    """Whatever is granted: what it does not ask for it does not get."""
    demo = artifact(tmp_path)
    grants.check(demo, {"demo": Grant(network=True, paths=("/usr/share",))})
    assert grants.place_of(demo, "") == SHARED


def test_what_it_needs_and_is_granted_is_its_place(tmp_path: Path) -> None:
    """Two that need the same are forked from one zygote."""
    demo = artifact(tmp_path, table='needs = { network = true, paths = ["/usr/share"] }')
    grants.check(demo, {"demo": Grant(network=True, paths=("/usr",))})
    assert grants.place_of(demo, "") == Place(network=True, paths=("/usr/share",))


@pytest.mark.parametrize(
    ("needs", "grant", "missing"),
    [
        ("network = true", None, "the network"),
        ("network = true", Grant(paths=("/usr",)), "the network"),
        ('paths = ["/usr/share"]', Grant(network=True), "/usr/share"),
        ('paths = ["/usr/share"]', Grant(paths=("/usr/sha",)), "/usr/share"),
        ('paths = ["/usr/share", "/etc"]', Grant(paths=("/usr/share",)), "/usr/share and /etc"),
    ],
)
def test_what_is_not_granted_is_refused(needs: str, grant: Grant | None, missing: str, tmp_path: Path) -> None:
    """At `prepared`: nothing of it has run."""
    demo = artifact(tmp_path, table=f"needs = {{ {needs} }}")
    with pytest.raises(Refusal) as caught:
        grants.check(demo, {"demo": grant} if grant else {"other": Grant(network=True, paths=("/usr", "/etc"))})
    assert caught.value.stage is Stage.PREPARED
    assert not caught.value.transient
    assert caught.value.problem == f"needs {missing}, which is not granted"


def test_a_refusal_says_which_lines_to_add(tmp_path: Path) -> None:
    """To be copied into hostd.toml."""
    demo = artifact(tmp_path, table='needs = { network = true, paths = ["/usr/share/GeoIP"] }')
    with pytest.raises(Refusal) as caught:
        grants.check(demo, {})
    assert str(caught.value) == (
        "plugins.d/demo.py: needs the network and /usr/share/GeoIP, which is not granted; if you trust it with that, "
        "add to hostd.toml the lines '[plugins.sandbox.grants.demo]', 'network = true', "
        "'paths = [\"/usr/share/GeoIP\"]'; then: hostd rescan"
    )


def test_a_link_out_of_what_is_granted_is_not_granted(tmp_path: Path) -> None:
    """Where it leads counts."""
    granted = tmp_path / "granted"
    granted.mkdir()
    (granted / "out").symlink_to("/etc")
    demo = artifact(tmp_path, table=f'needs = {{ paths = ["{granted}/out"] }}')
    assert not grants.is_granted(demo, {"demo": Grant(paths=(str(granted),))})
    assert grants.is_granted(demo, {"demo": Grant(paths=("/etc",))})


def test_what_is_not_there_may_come(tmp_path: Path) -> None:
    """It is tried again by itself."""
    demo = artifact(tmp_path, table=f'needs = {{ paths = ["{tmp_path}/later"] }}')
    granted = {"demo": Grant(paths=(str(tmp_path),))}
    with pytest.raises(Refusal, match="which is not there; put it there") as caught:
        grants.check(demo, granted)
    assert caught.value.transient
    (tmp_path / "later").touch()
    grants.check(demo, granted)
