import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lines import LineReader
from app.load import LINE_BYTES_MAX, BadLine, Format, Layout, Loader, Record, Tally, read_records
from app.pipeline import PipelinedClient
from tests.app.fake_gateway import FakeGateway, Fate

LINES = Layout(Format.LINES, "1", b";")
TSV = Layout(Format.TSV, "1")
JSONL = Layout(Format.JSONL, "id")


def read(text: bytes, layout: Layout) -> list[Record | BadLine]:
    return [record for batch in read_records(lines_of(text), layout) for record in batch]


def lines_of(text: bytes) -> Iterator[list[bytes | None]]:
    reader = LineReader(LINE_BYTES_MAX)
    yield reader.feed(text)
    yield reader.end()


async def records_of(text: bytes, layout: Layout) -> AsyncIterator[list[Record | BadLine]]:
    for batch in read_records(lines_of(text), layout):
        yield batch


@pytest.mark.parametrize(
    ("layout", "line", "key", "value"),
    [
        (LINES, b"0041;LATIN;Lu", b"0041", b"0041;LATIN;Lu"),
        (LINES, b"alone", b"alone", b"alone"),
        (Layout(Format.LINES, "3", b";"), b"a;b;c", b"c", b"a;b;c"),
        (Layout(Format.LINES, "2", b"||"), b"a||b|c", b"b|c", b"a||b|c"),
        (TSV, b"k\tv", b"k", b"v"),
        (TSV, b"k\tv\tw", b"k", b"v\tw"),
        (TSV, b"k\t", b"k", b""),
        (Layout(Format.TSV, "2"), b"v\tk", b"k", b"v"),
        (Layout(Format.TSV, "2"), b"v\tk\tw", b"k", b"v\tw"),
        (TSV, b"\xff\xfe\t\x00", b"\xff\xfe", b"\x00"),
        (JSONL, b'{"id": "a", "b": 1}', b"a", b'{"id": "a", "b": 1}'),
        (JSONL, b'{"id": 17}', b"17", b'{"id": 17}'),
        (JSONL, '{"id": "ü"}'.encode(), "ü".encode(), '{"id": "ü"}'.encode()),
    ],
)
def test_a_line_is_a_record(layout: Layout, line: bytes, key: bytes, value: bytes) -> None:
    assert read(line, layout) == [Record(1, key, value)]


@pytest.mark.parametrize(
    ("layout", "line", "reason"),
    [
        (LINES, b";x", "field 1, the key, is empty"),
        (Layout(Format.LINES, "3", b";"), b"a;b", "has 2 field(s), so no field 3"),
        (TSV, b"k", "has a key but no value: the delimiter is not in it"),
        (TSV, b"\tv", "field 1, the key, is empty"),
        (JSONL, b"{", "is not JSON"),
        (JSONL, b"\xff", "is not JSON"),
        (JSONL, b"[" * 100_000, "is not JSON"),
        (JSONL, b"[1]", "is not a JSON object"),
        (JSONL, b'{"x": 1}', "has no member 'id'"),
        (JSONL, b'{"id": true}', "member 'id' is neither"),
        (JSONL, b'{"id": 1.5}', "member 'id' is neither"),
        (JSONL, b'{"id": ""}', "member 'id' is neither"),
        (JSONL, b'{"id": "\\ud800"}', "member 'id' holds half of a surrogate pair"),
    ],
)
def test_a_bad_line_says_what_is_wrong(layout: Layout, line: bytes, reason: str) -> None:
    (bad,) = read(line, layout)

    assert isinstance(bad, BadLine)
    assert bad.reason.startswith(reason)


def test_line_ends_belong_to_no_value() -> None:
    text = b"\xef\xbb\xbfa;1\r\n\nb;2\n\r\nc;\r3\nd;4"

    assert read(text, LINES) == [
        Record(1, b"a", b"a;1"),
        Record(3, b"b", b"b;2"),
        Record(5, b"c", b"c;\r3"),
        Record(6, b"d", b"d;4"),
    ]


def test_an_endless_line_is_one_bad_line() -> None:
    """Memory stays bounded: such a line is skipped, not held."""
    text = b"a;1\n" + b"x" * (3 * LINE_BYTES_MAX) + b"\nb;2\n"

    first, bad, last = read(text, LINES)

    assert (first, last) == (Record(1, b"a", b"a;1"), Record(3, b"b", b"b;2"))
    assert bad == BadLine(2, f"is longer than {LINE_BYTES_MAX} bytes")


@pytest.mark.parametrize(("key", "delimiter"), [("0", b";"), ("x", b";"), ("-1", b";"), ("", b";"), ("1", b"")])
def test_a_layout_that_makes_no_sense_is_refused(key: str, delimiter: bytes) -> None:
    with pytest.raises(ValueError, match=r"field|delimiter"):
        Layout(Format.LINES, key, delimiter)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=8), st.binary(max_size=8)), max_size=20))
def test_tsv_gives_back_every_pair(pairs: list[tuple[bytes, bytes]]) -> None:
    clean = [(k.translate(None, b"\t\r\n") or b"k", v.translate(None, b"\t\r\n")) for k, v in pairs]
    clean = [(b"k" + key, value) for key, value in clean]
    text = b"".join(key + b"\t" + value + b"\n" for key, value in clean)

    assert [(r.key, r.value) for r in read(text, TSV) if isinstance(r, Record)] == clean


def run_load(text: bytes, urls: list[str], layout: Layout = LINES, timeout_seconds: float = 10.0) -> Tally:
    async def run() -> Tally:
        async with PipelinedClient(
            urls, timeout_seconds=timeout_seconds, keeps_session=False, sole_writer=True
        ) as client:
            tally = Tally("loaded")
            await Loader(client, 16, lambda: None).load(records_of(text, layout), tally, layout.content_type)
            return tally

    return asyncio.run(run())


def run_verify(text: bytes, urls: list[str], timeout_seconds: float = 10.0) -> Tally:
    async def run() -> Tally:
        async with PipelinedClient(
            urls, timeout_seconds=timeout_seconds, keeps_session=False, sole_writer=True
        ) as client:
            tally = Tally("verified")
            await Loader(client, 16, lambda: None).verify(records_of(text, LINES), tally)
            return tally

    return asyncio.run(run())


def numbered(count: int) -> bytes:
    return b"".join(b"key %d;value %d\n" % (i, i) for i in range(count))


def test_every_record_arrives_byte_for_byte() -> None:
    with FakeGateway() as gateway:
        tally = run_load(b"a/b;\xff\x00\n%2F;x\n", [gateway.url])

        assert gateway.data == {b"a/b": (b"a/b;\xff\x00", "text/plain"), b"%2F": (b"%2F;x", "text/plain")}
        assert (tally.done, tally.failed, tally.is_clean) == (2, 0, True)


def test_json_lines_are_stored_as_json() -> None:
    with FakeGateway() as gateway:
        run_load(b'{"id": 1}\n', [gateway.url], JSONL)

        assert gateway.data == {b"1": (b'{"id": 1}', "application/json")}


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.APPLIED_UNKNOWN, Fate.CUT_BEFORE, Fate.CUT_AFTER])
def test_a_failure_is_repeated_until_the_record_is_stored(fate: Fate) -> None:
    with FakeGateway(lambda _, __, count: fate if count % 7 == 3 else Fate.SERVED) as gateway:
        text = numbered(50)
        tally = run_load(text, [gateway.url])

        assert (tally.done, tally.failed) == (50, 0)
        assert {value for value, _ in gateway.data.values()} == set(text.split(b"\n")[:-1])


def test_of_two_records_of_one_key_the_later_wins() -> None:
    """Also when the first must be repeated: it is brought to an end before the second is sent."""
    with FakeGateway(lambda _, __, count: Fate.CUT_BEFORE if count % 3 == 0 else Fate.SERVED) as gateway:
        text = b"".join(b"k%d;%d\n" % (i % 5, i) for i in range(100))
        run_load(text, [gateway.url])

        assert {key: value for key, (value, _) in gateway.data.items()} == {
            b"k%d" % (i % 5): b"k%d;%d" % (i % 5, i) for i in range(95, 100)
        }


def test_a_dead_gateway_is_left_for_a_live_one() -> None:
    with FakeGateway() as gone:
        dead = gone.url
    with FakeGateway() as gateway:
        tally = run_load(numbered(20), [dead, gateway.url])

        assert (tally.done, tally.failed) == (20, 0)


def test_bad_and_refused_lines_fail_alone() -> None:
    with FakeGateway(lambda _, key, __: Fate.TOO_LARGE if key == b"big" else Fate.SERVED) as gateway:
        tally = run_load(b"a;1\n;x\nbig;2\nb;3\n", [gateway.url])

        assert (tally.done, tally.failed, tally.is_clean) == (2, 2, False)
        assert tally.gave_up is None
        assert sorted(tally.problems) == [
            "line 2: field 1, the key, is empty",
            "line 3: key and value have 10241 bytes, the limit is 10240 (status 413, PAIR_TOO_LARGE)",
        ]


def test_a_cluster_that_stays_away_ends_the_load() -> None:
    with FakeGateway(lambda _, __, count: Fate.SERVED if count < 5 else Fate.REFUSED) as gateway:
        tally = run_load(numbered(1_000), [gateway.url], timeout_seconds=0.3)

        assert tally.done == 5
        assert tally.gave_up is not None
        assert len(gateway.requests) < 1_000
        assert tally.problems[-1].startswith("gave up at line")
        done = tally.frontier.next_line - 1
        assert all(b"key %d" % number in gateway.data for number in range(done))
        assert b"key %d" % done not in gateway.data


def test_verify_finds_what_differs_and_what_is_missing() -> None:
    with FakeGateway() as gateway:
        text = numbered(30)
        run_load(text, [gateway.url])
        gateway.data[b"key 3"] = (b"something else", "")
        del gateway.data[b"key 7"]
        tally = run_verify(text, [gateway.url])

        assert (tally.done, tally.different, tally.is_clean) == (28, {b"key 3", b"key 7"}, False)
        assert tally.summary.startswith("verified 28, failed 0, different 2, ")


def test_verify_reads_linearizably() -> None:
    with FakeGateway() as gateway:
        run_verify(b"a;1\n", [gateway.url])

        assert gateway.targets == ["/v1/kv/a?consistency=linearizable"]


def test_verify_goes_by_the_last_record_of_a_key() -> None:
    text = b"k;1\nk;2\nother;1\nk;3\n"
    with FakeGateway() as gateway:
        run_load(text, [gateway.url])

        assert run_verify(text, [gateway.url]).is_clean
        gateway.data[b"k"] = (b"k;2", "")
        assert run_verify(text, [gateway.url]).different == {b"k"}
