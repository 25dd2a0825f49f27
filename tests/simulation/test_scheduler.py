from app.simulation.scheduler import Scheduler


def test_events_run_in_the_order_of_their_times() -> None:
    scheduler, ran = Scheduler(), list[float]()

    for time in (3.0, 1.0, 2.0):
        scheduler.call_at(time, ran.append, time)
    scheduler.run(until=9.0, steps_max=9)
    assert ran == [1.0, 2.0, 3.0]


def test_events_of_one_time_run_in_the_order_of_their_making() -> None:
    """Whatever they are: functions have no order of their own."""
    scheduler, ran = Scheduler(), list[str]()

    for name in "cab":
        scheduler.call_at(1.0, lambda name=name: ran.append(name))
    scheduler.run(until=1.0, steps_max=9)
    assert ran == ["c", "a", "b"]


def test_an_event_sees_its_own_time() -> None:
    scheduler, seen = Scheduler(), list[float]()

    scheduler.call_at(1.5, lambda: seen.append(scheduler.now))
    scheduler.run(until=2.0, steps_max=9)
    assert (seen, scheduler.now, scheduler.steps) == ([1.5], 2.0, 1)


def test_what_is_late_runs_as_the_last_event_of_now() -> None:
    scheduler, ran = Scheduler(), list[str]()

    def first() -> None:
        scheduler.call_at(0.5, ran.append, "late")
        ran.append("first")

    scheduler.call_at(1.0, first)
    scheduler.call_at(1.0, ran.append, "second")
    scheduler.run(until=1.0, steps_max=9)
    assert ran == ["first", "second", "late"]


def test_a_run_ends_at_its_time_and_leaves_the_rest() -> None:
    scheduler, ran = Scheduler(), list[float]()
    for time in (1.0, 2.0, 3.0):
        scheduler.call_at(time, ran.append, time)

    scheduler.run(until=2.0, steps_max=9)
    assert (ran, scheduler.is_empty) == ([1.0, 2.0], False)
    scheduler.run(until=3.0, steps_max=9)
    assert (ran, scheduler.is_empty) == ([1.0, 2.0, 3.0], True)


def test_a_run_ends_after_its_steps_at_the_time_of_the_last() -> None:
    """So that the next run goes on as if there had been no end between."""
    scheduler, ran = Scheduler(), list[float]()
    for time in (1.0, 2.0):
        scheduler.call_at(time, ran.append, time)

    scheduler.run(until=9.0, steps_max=1)
    assert (ran, scheduler.now, scheduler.steps) == ([1.0], 1.0, 1)
    scheduler.run(until=9.0, steps_max=2)
    assert (ran, scheduler.now, scheduler.steps) == ([1.0, 2.0], 2.0, 2)
