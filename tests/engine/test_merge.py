"""Merging: everything once, in order, the newest of each key, forward and backward."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.merge import clip, merge, without_ranges
from engine.record import Range, Run, is_covered
from tests.strategies import keys, records


def stream(content: dict[bytes, bytes | None], run_length: int, *, reverse: bool = False) -> Iterator[Run]:
    ordered = sorted(content)
    parts = [ordered[start : start + run_length] for start in range(0, len(ordered), run_length)]
    for part in reversed(parts) if reverse else parts:
        yield part, [content[key] for key in part]


def flat(runs: Iterator[Run], *, reverse: bool = False) -> list[tuple[bytes, bytes | None]]:
    return [item for keys, values in runs for item in list(zip(keys, values, strict=True))[:: -1 if reverse else 1]]


@given(st.lists(st.tuples(records, st.integers(1, 9)), max_size=6), st.booleans())
def test_the_newest_record_of_a_key_wins(contents: list[tuple[dict[bytes, bytes | None], int]], reverse: bool) -> None:
    expected: dict[bytes, bytes | None] = {}
    for content, _ in reversed(contents):
        expected.update(content)

    streams = [stream(content, run_length, reverse=reverse) for content, run_length in contents]
    merged = flat(merge(streams, reverse=reverse), reverse=reverse)

    assert merged == sorted(expected.items(), key=lambda item: item[0], reverse=reverse)


@pytest.mark.parametrize(("reverse", "nearest"), [(False, [b"000", b"001"]), (True, [b"998", b"999"])])
def test_no_more_is_read_than_is_needed(reverse: bool, nearest: list[bytes]) -> None:
    taken: list[int] = []

    def watched() -> Iterator[Run]:
        for number in range(999, 0, -1) if reverse else range(1000):
            taken.append(number)
            yield [b"%03d" % number], [b""]

    merged = merge([watched(), iter([(nearest, [b"x", b"x"])])], reverse=reverse)

    first = nearest[-1 if reverse else 0]
    assert next(merged) == ([first], [b""])
    assert len(taken) == 1


@pytest.mark.parametrize("reverse", [False, True])
def test_a_stream_may_have_empty_runs(reverse: bool) -> None:
    streams: list[Iterator[Run]] = [iter([([], []), ([b"a"], [b"1"]), ([], [])]), iter([])]

    assert flat(merge(streams, reverse=reverse)) == [(b"a", b"1")]


@given(records, st.integers(1, 9), keys, st.one_of(st.none(), keys), st.booleans())
def test_a_clipped_stream_has_what_is_within(
    content: dict[bytes, bytes | None], run_length: int, start: bytes, end: bytes | None, reverse: bool
) -> None:
    runs = stream(content, run_length, reverse=reverse)
    clipped = flat(clip(runs, start, end, reverse=reverse), reverse=reverse)

    within = [i for i in flat(stream(content, 1)) if start <= i[0] and (end is None or i[0] < end)]
    assert clipped == within[:: -1 if reverse else 1]
    kept = [key for key, _ in flat(runs)]
    assert all(key < start if reverse else end is not None and key >= end for key in kept)


@given(records, st.integers(1, 9), st.lists(keys, unique=True, max_size=7), st.booleans(), st.booleans())
def test_what_a_range_covers_is_left_out(
    content: dict[bytes, bytes | None], run_length: int, borders: list[bytes], is_endless: bool, reverse: bool
) -> None:
    borders.sort()
    ranges: list[Range] = list(zip(borders[::2], borders[1::2], strict=False))
    if is_endless and len(borders) % 2:
        ranges.append((borders[-1], None))

    left = flat(without_ranges(stream(content, run_length, reverse=reverse), ranges), reverse=reverse)

    kept = {key: value for key, value in content.items() if not is_covered(key, ranges)}
    assert left == sorted(kept.items(), key=lambda item: item[0], reverse=reverse)


def test_a_run_without_covered_records_is_passed_on_as_it_is() -> None:
    run: Run = [b"b", b"c"], [b"1", None]

    assert next(without_ranges(iter([run]), [(b"a", b"b"), (b"bb", b"bc"), (b"d", None)])) == run
    assert next(without_ranges(iter([run]), [(b"x", None)]))[0] is run[0]
    assert list(without_ranges(iter([run, ([], [])]), [(b"", None)])) == []
