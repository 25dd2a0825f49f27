from itertools import count

from app.simulation.history import History
from app.simulation.judges.histories import Histories
from tests.simulation.judges.court import breaks


def test_a_history_that_nothing_explains_breaks_the_promise() -> None:
    history = History(clock=count(1).__next__)
    client = history.new_client()
    for value in ("1", "2"):
        history.end(history.call(client, "put", "k", value), ok=True)

    history.end(history.call(client, "get", "k"), ok=True, output="1")
    with breaks("linearizable histories", "unexplained"):
        Histories(history).settle()


def test_a_history_that_is_linearizable_keeps_it() -> None:
    history = History(clock=count(1).__next__)
    histories = Histories(history)
    client = history.new_client()
    history.end(history.call(client, "put", "k", "1"), ok=True)
    history.end(history.call(client, "get", "k"), ok=True, output="1")

    histories.settle()
    assert histories.checked == 2
