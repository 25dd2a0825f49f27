from app.simulation.judges.chain import Chain
from raftgroups import Configuration, Delete, Item, LogIndex, Put, Term, encode_item, revision_of
from tests.simulation.judges.court import NO_OP, configured, entry


def chain_of(*payloads: bytes) -> Chain:
    chain = Chain()
    for payload in payloads:
        chain.extend(1, payload, Term(1))
    return chain


def revision(index: int) -> int:
    return revision_of(LogIndex(index), 0)


def test_every_version_of_a_key_is_remembered() -> None:
    chain = chain_of(entry(Put(b"k", b"1.")), NO_OP, entry(Delete(b"k")), entry(Put(b"k", b"2.")))

    first, second = encode_item(Item(revision(1), b"1.")), encode_item(Item(revision(4), b"2."))
    assert [chain.item_at(b"k", LogIndex(index)) for index in range(6)] == [None, first, first, None, second, second]
    assert chain.item_at(b"other", LogIndex(4)) is None
    assert chain.keys == [b"k"]


def test_the_commands_of_an_entry_take_effect_in_their_order() -> None:
    chain = chain_of(entry(Put(b"k", b"1."), Delete(b"k"), Put(b"k", b"2.")))

    last = revision_of(LogIndex(1), 2)
    assert chain.item_at(b"k", LogIndex(1)) == encode_item(Item(last, b"2."))
    assert chain.made(b"k", revision_of(LogIndex(1), 1)) == (True, None)
    assert chain.keys_of(LogIndex(1)) == [b"k", b"k", b"k"]


def test_only_what_a_command_made_was_made() -> None:
    chain = chain_of(entry(Put(b"k", b"1.")), entry(Put(b"other", b"2.")))

    assert chain.made(b"k", revision(1)) == (True, encode_item(Item(revision(1), b"1.")))
    assert chain.made(b"k", revision(2)) == (False, None)
    assert chain.made(b"k", 0) == (False, None)


def test_a_key_is_absent_from_the_beginning() -> None:
    """Also when it was written and deleted since: a replica may not have got there yet."""
    chain = chain_of(entry(Put(b"k", b"1.")), entry(Delete(b"k")))

    assert chain.absent_since(b"k", 0) == 0
    assert chain.absent_since(b"other", 0) == 0


def test_a_key_that_was_there_is_absent_from_its_next_delete_on() -> None:
    chain = chain_of(entry(Put(b"k", b"1.")), entry(Delete(b"k")), entry(Put(b"k", b"2.")))

    assert chain.absent_since(b"k", revision(1)) == revision(2)
    assert chain.absent_since(b"k", revision(2)) == revision(2)
    assert chain.absent_since(b"k", revision(3)) is None


def test_it_knows_who_was_configured_when() -> None:
    chain = chain_of(NO_OP, configured("a", "b"), NO_OP, configured("a"))

    assert chain.configured_at(LogIndex(1)) is None
    assert chain.configured_at(LogIndex(3)) == (2, Configuration(("a", "b")))
    assert chain.configured_at(LogIndex(4)) == (4, Configuration(("a",)))


def test_it_knows_in_whose_reign_an_entry_was_committed() -> None:
    """Not whose entry it was: a leader commits what its predecessors left, too."""
    chain = Chain()
    for term, reign in ((1, 1), (1, 3), (3, 3)):
        chain.extend(term, NO_OP, Term(reign))

    assert [chain.last_before(Term(term)) for term in (1, 2, 3, 4)] == [0, 1, 1, 3]
