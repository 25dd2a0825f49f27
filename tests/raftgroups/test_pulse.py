import pytest

from raftgroups.lease import NEVER
from raftgroups.messages import Beat
from raftgroups.pulse import ECHOES_MAX, Contact, Pulse


def beat(pulse: Pulse, now: float) -> Beat:
    return pulse.next_beat(now, told=0, heard=0, promises=False)


def test_both_sides_learn_the_round_trip_whatever_their_clocks_show() -> None:
    """The left side's beats take 10 ms, the right side's 30, and it waits 50 ms before it sends its own."""
    left, right = Pulse(), Pulse()

    right.met(beat(left, 1.000), 77.010)
    answer = beat(right, 77.060)
    left.met(answer, 1.090)

    assert answer.held_us == pytest.approx(50_000, abs=1)
    assert left.round_trip == pytest.approx(0.040, abs=1e-5)
    assert right.round_trip is None
    right.met(beat(left, 1.100), 77.110)
    assert right.round_trip == pytest.approx(0.040, abs=1e-5)


def test_an_echo_tells_when_the_beat_left_that_the_other_has_met() -> None:
    left, right = Pulse(), Pulse()
    first, _lost = beat(left, 1.0), beat(left, 2.0)
    right.met(first, 1.1)

    left.met(beat(right, 2.5), 2.6)

    assert left.contact == Contact(heard_at=2.6, met_at=1.0, promises=False)


def test_before_the_first_echo_nothing_is_known_to_have_been_met() -> None:
    assert Pulse().contact is None
    pulse = Pulse()

    pulse.met(Beat(1, promises=True), 3.0)

    assert pulse.contact == Contact(heard_at=3.0, met_at=NEVER, promises=True)
    assert pulse.round_trip is None


def test_an_echo_that_comes_again_is_no_newer() -> None:
    left, right = Pulse(), Pulse()
    right.met(beat(left, 1.0), 1.0)
    left.met(beat(right, 1.1), 1.1)

    left.met(beat(right, 5.0), 5.0)

    assert left.contact == Contact(heard_at=5.0, met_at=1.0, promises=False)


def test_a_side_that_never_answers_fills_no_memory() -> None:
    pulse = Pulse()
    for number in range(10 * ECHOES_MAX):
        beat(pulse, float(number))
    old = 9 * ECHOES_MAX

    pulse.met(Beat(1, echo=old), 1e6)

    assert pulse.contact is not None
    assert pulse.contact.met_at == NEVER
