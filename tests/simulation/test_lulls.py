import random

from app.simulation.lulls import SECONDS_MAX, SECONDS_MIN, Lulls


def test_a_lull_ends_at_one_time_for_all_whom_it_holds_up() -> None:
    lulls = Lulls(random.Random(1))
    times = [number / 100 for number in range(6_000)]

    ends = [lulls.after(time) for time in times]

    held = [(time, end) for time, end in zip(times, ends, strict=True) if end > time]
    assert ends == sorted(ends)
    assert 0.2 < len(held) / len(times) < 0.8
    for end in {end for _, end in held}:
        began = min(time for time, other in held if other == end)
        assert SECONDS_MIN - 0.02 < end - began <= SECONDS_MAX


def test_lulls_depend_on_the_seed_alone() -> None:
    first, second, other = (Lulls(random.Random(seed)) for seed in (7, 7, 8))
    times = [float(number) for number in range(100)]

    ends = [[lulls.after(time) for time in times] for lulls in (first, second, other)]

    assert ends[0] == ends[1] != ends[2]
