"""Merging: everything once, in order, the newest of each key."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from engine.merge import clip, merge
from engine.record import Run
from tests.strategies import keys, records


def stream(content: dict[bytes, bytes | None], run_length: int) -> Iterator[Run]:
    ordered = sorted(content)
    for start in range(0, len(ordered), run_length):
        part = ordered[start : start + run_length]
        yield part, [content[key] for key in part]


def flat(runs: Iterator[Run]) -> list[tuple[bytes, bytes | None]]:
    return [item for run in runs for item in zip(*run, strict=True)]


@given(st.lists(st.tuples(records, st.integers(1, 9)), max_size=6))
def test_the_newest_record_of_a_key_wins(contents: list[tuple[dict[bytes, bytes | None], int]]) -> None:
    expected: dict[bytes, bytes | None] = {}
    for content, _ in reversed(contents):
        expected.update(content)

    merged = flat(merge([stream(content, run_length) for content, run_length in contents]))

    assert merged == sorted(expected.items(), key=lambda item: item[0])


def test_no_more_is_read_than_is_needed() -> None:
    taken: list[int] = []

    def watched() -> Iterator[Run]:
        for number in range(100):
            taken.append(number)
            yield [b"%03d" % number], [b""]

    merged = merge([watched(), iter([([b"000", b"001"], [b"x", b"x"])])])

    assert next(merged) == ([b"000"], [b""])
    assert len(taken) == 1


def test_a_stream_may_have_empty_runs() -> None:
    assert flat(merge([iter([([], []), ([b"a"], [b"1"]), ([], [])]), iter([])])) == [(b"a", b"1")]


@given(records, st.integers(1, 9), keys, st.one_of(st.none(), keys))
def test_a_clipped_stream_has_what_is_within(
    content: dict[bytes, bytes | None], run_length: int, start: bytes, end: bytes | None
) -> None:
    clipped = flat(clip(stream(content, run_length), start, end))

    assert clipped == [i for i in flat(stream(content, 1)) if start <= i[0] and (end is None or i[0] < end)]
