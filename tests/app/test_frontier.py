"""How far a stream has come: everything before the first line that is not done with."""

from app.frontier import Frontier


def test_the_first_line_that_is_not_done_with_is_the_next() -> None:
    frontier = Frontier()
    assert frontier.next_line == 1

    for number in (1, 2, 3):
        frontier.begin(number)
    frontier.skip(4)
    frontier.end(1)
    frontier.end(3)
    assert frontier.next_line == 2

    frontier.end(2)
    assert frontier.next_line == 5
