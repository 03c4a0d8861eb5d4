"""When a generation counts as failing, and when it is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from hostd.workers.intensity import BACKOFF_S, Intensity


def test_as_many_losses_as_are_allowed_are_no_concern() -> None:
    """One more within the window is; it says after how long to try again."""
    intensity = Intensity(3, 60.0)
    assert [intensity.lost(now, "died") for now in (0.0, 1.0, 2.0)] == [None] * 3
    assert not intensity.is_failing
    assert intensity.lost(3.0, "died again") == 1.0
    assert (intensity.is_failing, intensity.losses, intensity.reason) == (True, 4, "died again")
    assert (intensity.rest_s(3.0), intensity.rest_s(3.5), intensity.rest_s(9.0)) == (1.0, 0.5, 0.0)


def test_losses_that_are_long_past_do_not_count() -> None:
    """The window slides."""
    intensity = Intensity(2, 10.0)
    for now in range(0, 100, 5):
        assert intensity.lost(float(now), "died") is None


def test_each_try_that_fails_doubles_the_wait() -> None:
    """Up to a minute, and there it stays."""
    intensity, now = Intensity(1, 60.0), 0.0
    intensity.lost(now, "died")
    waits = []
    for _ in range(9):
        wait = intensity.lost(now, "died")
        assert wait is not None
        waits.append(wait)
        now += wait
    assert waits == [*BACKOFF_S, 60.0, 60.0]


def test_losses_of_what_was_under_way_change_nothing() -> None:
    """They say nothing about a try: none was made yet."""
    intensity = Intensity(1, 60.0)
    intensity.lost(0.0, "died")
    assert intensity.lost(0.0, "died") == 1.0
    assert intensity.lost(0.5, "of those under way") is None
    assert intensity.rest_s(0.5) == 0.5


def test_a_success_ends_it_unless_it_was_begun_before() -> None:
    """A batch that was under way when it began to fail is no try; afterwards all is as new."""
    intensity = Intensity(1, 60.0)
    assert not intensity.succeeded(0.0)
    intensity.lost(0.0, "died")
    intensity.lost(0.0, "died")
    assert not intensity.succeeded(0.5)
    assert intensity.succeeded(1.0)
    assert (intensity.is_failing, intensity.losses) == (False, 0)
    assert not intensity.succeeded(1.1)
    assert intensity.lost(2.0, "died") is None
    assert intensity.lost(2.0, "died") == 1.0


def test_healing_forgets_all() -> None:
    intensity = Intensity(1, 60.0)
    for _ in range(3):
        intensity.lost(0.0, "died")
    intensity.heal()
    assert (intensity.is_failing, intensity.losses, intensity.rest_s(0.0)) == (False, 0, 0.0)


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60), st.integers(1, 4))
def test_it_always_ends_and_never_waits_longer_than_a_minute(steps: list[tuple[float, bool]], most: int) -> None:
    """Whatever happens when: what fails has a time for its next try, and remembers no more than it must."""
    intensity, now = Intensity(most, 10.0), 0.0
    for after, is_loss in steps:
        now += after
        if is_loss:
            intensity.lost(now, "died")
        else:
            intensity.succeeded(now)
        assert intensity.losses <= most + 1
        assert 0 <= intensity.rest_s(now) <= BACKOFF_S[-1] + 1e-9  # seconds are floats
        assert intensity.rest_s(now + BACKOFF_S[-1]) == 0
        assert intensity.is_failing or not intensity.rest_s(now)
