"""Pages put together of what partitions give, against a sorted dict of all of it."""

import math

from hypothesis import given
from hypothesis import strategies as st

from app.keyrange import KeyRange
from app.merging import Merge
from raftgroups import Item, Pair, PartitionId, Piece, Span, encode_item

Contents = dict[bytes, Item]
CLOCK_MS = 1_000


def piece_of(items: Contents, span: Span) -> Piece:
    """What a replica gives."""
    inside = [key for key in items if span.start <= key and (span.end is None or key < span.end)]
    pairs: list[Pair] = []
    size = 0
    reached = b""
    for looked_at, key in enumerate(sorted(inside, reverse=span.reverse)):
        if looked_at >= span.limit or size >= span.bytes_max:
            return Piece(pairs, reached)
        reached = key
        if not 0 < items[key].expires_ms <= CLOCK_MS:
            pairs.append((key, encode_item(items[key])))
            size += len(key) + len(pairs[-1][1])
    return Piece(pairs)


def page_of(
    partitions: list[Contents], within: KeyRange, after: bytes | None, limit: int, bytes_max: int
) -> tuple[Merge, int]:
    """A page, and how many rounds it took."""
    numbers = [PartitionId(number) for number in range(len(partitions))]
    merge = Merge(numbers, within, after, limit=limit, bytes_max=bytes_max)
    rounds = 0
    while wanted := merge.wanted():
        rounds += 1
        for partition, span in wanted.items():
            assert span.limit > 0 and span.bytes_max > 0
            merge.received(partition, piece_of(partitions[partition], span))
    return merge, rounds


names = st.text("abc", min_size=1, max_size=5).map(str.encode)
items = st.builds(
    Item, st.integers(1, 9), st.binary(max_size=30), st.just(""), st.sampled_from([0, 0, 0, CLOCK_MS, CLOCK_MS + 1])
)
contents = st.lists(st.dictionaries(names, items, max_size=60), min_size=1, max_size=5)


@given(
    contents,
    st.builds(KeyRange, st.sampled_from([b"", b"a", b"ab"]), names | st.just(b""), names | st.just(b""), st.booleans()),
    st.integers(1, 40),
    st.integers(1, 900),
)
def test_pages_one_after_the_other_have_everything_once_and_in_order(
    partitions: list[Contents], within: KeyRange, limit: int, bytes_max: int
) -> None:
    owned: Contents = {}
    count = len(partitions)
    for number in range(count):
        # A key is in one partition alone.
        partitions[number] = {key: item for key, item in partitions[number].items() if len(key) % count == number}
        owned |= partitions[number]
    low, high = within.bounds()
    wanted = sorted(
        (key for key in owned if low <= key and (high is None or key < high)),
        reverse=within.reverse,
    )
    expected = [(key, encode_item(owned[key])) for key in wanted if not 0 < owned[key].expires_ms <= CLOCK_MS]

    found: list[Pair] = []
    after: bytes | None = None
    for _ in range(len(owned) + 2):
        merge, _ = page_of(partitions, within, after, limit, bytes_max)
        assert len(merge.pairs) <= limit
        assert len(merge.pairs) <= 1 or sum(len(key) + len(item) for key, item in merge.pairs) <= bytes_max
        found += merge.pairs
        after = merge.after
        if after is None:
            break
        assert merge.pairs, "a page that says that there is more has something"
    assert after is None
    assert found == expected


def spread(keys: int, partitions: int) -> list[Contents]:
    """Keys as a hash spreads them."""
    made: list[Contents] = [{} for _ in range(partitions)]
    for number in range(keys):
        made[hash((number * 2_654_435_761) >> 7) % partitions][b"%08d" % number] = Item(1, b"v" * 20)
    return made


def test_a_page_of_spread_keys_takes_a_round_or_two() -> None:
    """And few keys more than it needs are read."""
    partitions = spread(20_000, 16)
    after: bytes | None = None
    rounds = pages = 0
    for _ in range(20):
        merge, took = page_of(partitions, KeyRange(), after, 1_000, 1 << 20)
        assert len(merge.pairs) == 1_000
        after, rounds, pages = merge.after, rounds + took, pages + 1
    assert rounds <= 1.5 * pages


def test_a_page_out_of_one_partition_takes_few_rounds() -> None:
    partitions = [*spread(5_000, 1), *[{} for _ in range(15)]]

    merge, rounds = page_of(partitions, KeyRange(), None, 1_000, 1 << 20)

    assert len(merge.pairs) == 1_000 and rounds <= 2


def test_pieces_of_large_values_stay_within_a_few_pages() -> None:
    """However many partitions there are: what is asked for in a round is bounded together."""
    partitions = spread(640, 64)
    for part in partitions:
        for key in part:
            part[key] = Item(1, bytes(10_000))
    numbers = [PartitionId(number) for number in range(64)]
    merge = Merge(numbers, KeyRange(), None, limit=1_000, bytes_max=1 << 20)

    asked = merge.wanted()

    assert sum(span.bytes_max for span in asked.values()) <= 2 << 20
    assert math.ceil(1_000 / 64) < asked[PartitionId(0)].limit < 64


def test_an_empty_range_asks_nobody() -> None:
    merge = Merge([PartitionId(0)], KeyRange(start=b"b", end=b"a"), None, limit=10, bytes_max=100)

    assert merge.wanted() == {} and merge.after is None and merge.pairs == []
