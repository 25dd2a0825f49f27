"""What a crash may leave of a file: all that was synced, and anything of the rest."""

import random

from hypothesis import given
from hypothesis import strategies as st

from engine.inode import SECTOR_BYTES, Inode

SEEDS = 400


def crashed(inode: Inode, seed: int) -> bytes:
    other = inode.copy()
    other.crash(random.Random(seed), keep=False)
    assert other.data == other.durable
    return bytes(other.data)


def test_what_was_synced_is_there_and_the_rest_may_be() -> None:
    inode = Inode(b"old ")
    inode.append(b"synced ")
    inode.sync()
    inode.append(b"new")

    found = {crashed(inode, seed) for seed in range(SEEDS)}

    torn = {b"old synced " + b"new"[:length] for length in range(4)}
    assert torn <= found
    # The end of the file may be on disk and its bytes not.
    assert found - torn <= {b"old synced " + bytes(length) for length in range(4)}


def test_without_chance_all_or_nothing_is_left() -> None:
    for keep, expected in ((False, b"old"), (True, b"old new")):
        inode = Inode(b"old")
        inode.append(b" new")
        inode.crash(None, keep=keep)
        assert bytes(inode.data) == bytes(inode.durable) == expected


def test_sectors_reach_the_disk_in_any_order() -> None:
    inode = Inode(b"s" * 100)
    for letter in (b"a", b"b", b"c"):
        inode.append(letter * SECTOR_BYTES)

    found = {crashed(inode, seed) for seed in range(SEEDS)}

    assert all(content[:100] == b"s" * 100 for content in found)
    # A hole before what came later, the first sector torn at what was synced.
    assert any(b"\0" * SECTOR_BYTES in content and content.endswith(b"c") for content in found)
    assert any(content[100:101] == b"\0" and content[-1:] == b"c" for content in found)


def test_what_was_cut_off_may_be_back() -> None:
    """A file system need not remember a truncation either, until it is synced."""
    inode = Inode(b"kept ")
    inode.append(b"refused")
    inode.truncate(5)
    inode.append(b"taken")
    assert bytes(inode.data) == b"kept taken"

    found = {crashed(inode, seed) for seed in range(SEEDS)}

    assert {b"kept ", b"kept refused", b"kept taken", b"kept ta"} <= found
    inode.sync()
    assert {crashed(inode, seed) for seed in range(SEEDS)} == {b"kept taken"}


def test_what_a_failed_sync_forgot_stays_a_hole() -> None:
    inode = Inode(b"old")
    inode.append(b" lost")
    inode.forget()
    inode.append(b" new")
    assert bytes(inode.data) == b"old lost new"

    inode.sync()
    inode.crash(None, keep=True)

    assert bytes(inode.data) == b"old" + bytes(5) + b" new"


def test_what_was_forgotten_and_is_written_again_can_be_synced() -> None:
    inode = Inode(b"old")
    inode.append(b" lost")
    inode.forget()
    inode.rewrite(1)
    inode.append(b" new")
    # Whatever a crash leaves, what was on disk is.
    assert all(crashed(inode, seed).startswith(b"old") for seed in range(SEEDS))

    inode.sync()
    inode.crash(None, keep=False)

    assert bytes(inode.data) == b"old lost new"


def test_writing_again_what_is_on_disk_puts_nothing_at_risk() -> None:
    inode = Inode(b"synced" * 200)
    inode.rewrite(100)

    assert {crashed(inode, seed) for seed in range(SEEDS)} == {b"synced" * 200}


@given(
    st.lists(st.one_of(st.binary(max_size=600), st.integers(0, 800), st.none()), max_size=12), st.integers(0, 1 << 16)
)
def test_a_synced_file_is_never_changed(steps: list[bytes | int | None], seed: int) -> None:
    """Bytes are appended, an integer cuts the file, None syncs it; programs see what a plain string would be."""
    inode, seen = Inode(), b""
    for step in steps:
        if step is None:
            inode.sync()
            assert crashed(inode, seed) == seen
        elif isinstance(step, int):
            inode.truncate(step)
            seen = seen[:step]
        else:
            inode.append(step)
            seen += step
        assert bytes(inode.data) == seen
    assert len(crashed(inode, seed)) <= sum(len(step) for step in steps if isinstance(step, bytes))
