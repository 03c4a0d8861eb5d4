"""What is asked for again and again takes its share of the time, and no more."""

from hypothesis import given
from hypothesis import strategies as st

from hostd.pace import Pace


def test_a_few_times_in_a_row_are_not_held_up() -> None:
    pace, now = Pace(0.2, 0.1), 1000.0
    for _ in range(6):
        assert pace.rest_s(now) == 0.0
        now += 0.02
        pace.took(now, 0.02)
    pace.took(now, 0.02)
    assert 0.05 < pace.rest_s(now) < 0.15


def test_after_a_while_it_is_as_if_nothing_had_been() -> None:
    pace = Pace(0.5, 0.1)
    pace.took(1000.0, 1.0)
    assert [round(pace.rest_s(1000.0 + after_s), 6) for after_s in (0.0, 1.0, 1.8, 60.0)] == [1.8, 0.8, 0.0, 0.0]
    pace.took(1010.0, 0.05)
    assert pace.rest_s(1010.0) == 0.0


@given(share=st.floats(0.05, 1.0), burst_s=st.floats(0.0, 1.0), each_s=st.lists(st.floats(0.001, 1.0), min_size=1))
def test_whoever_rests_takes_no_more_than_the_share(share: float, burst_s: float, each_s: list[float]) -> None:
    """However long each time takes, of the time since the first but for the burst, and the last."""
    pace, began, done_s = Pace(share, burst_s), 1000.0, 0.0
    now = began
    for seconds in each_s:
        now += pace.rest_s(now)
        assert done_s <= share * (now - began) + burst_s + 1e-6
        now += seconds
        done_s += seconds
        pace.took(now, seconds)
