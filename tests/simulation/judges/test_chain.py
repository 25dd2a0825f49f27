from app.simulation.judges.chain import Chain, alike
from raftgroups import (
    Command,
    ConditionalPut,
    Configuration,
    Delete,
    Item,
    LogIndex,
    Once,
    Put,
    Reason,
    Rejected,
    Term,
    Unmet,
    Written,
    encode_command,
    encode_item,
    revision_of,
)
from raftgroups.command import encode_entry
from tests.simulation.judges.court import NO_OP, configured, entry


def at(clock_ms: int, *commands: Command) -> bytes:
    return encode_entry(clock_ms, [encode_command(command) for command in commands])


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


def test_what_became_of_a_command_is_known_each_time() -> None:
    """Its bytes are its name."""
    put = ConditionalPut(b"k", b"1.", expected=False)
    chain = chain_of(entry(put), entry(put))

    assert chain.results_of(encode_command(put)) == [Written(revision(1)), Unmet(revision(1))]
    assert chain.results_of(encode_command(Delete(b"k"))) == []


def test_what_has_expired_is_absent_from_the_entry_on_whose_time_says_so() -> None:
    chain = chain_of(at(1_000, ConditionalPut(b"k", b"1.", ttl_ms=50)), at(1_049), at(1_050), at(1_051))

    item = encode_item(Item(revision(1), b"1.", "", 1_050))
    assert [chain.item_at(b"k", LogIndex(index)) for index in range(5)] == [None, item, item, None, None]
    assert chain.keys_of(LogIndex(3)) == [b"k"]
    assert chain.absent_since(b"k", revision(1)) == revision(3)


def test_it_knows_what_was_committed_when() -> None:
    now = [0.5]
    chain = Chain(lambda: now[0])
    for time in (1.0, 1.0, 2.0):
        now[0] = time
        chain.extend(1, NO_OP, Term(1))

    assert [chain.committed_before(time) for time in (1.0, 1.5, 2.0, 2.1)] == [0, 2, 2, 3]


def test_it_knows_how_long_a_key_showed_what_it_shows() -> None:
    chain = chain_of(entry(Put(b"k", b"1.")), NO_OP, entry(Put(b"k", b"2."), Put(b"k", b"3.")), entry(Delete(b"k")))
    items = [Item(revision(1), b"1."), Item(revision(3), b"2."), Item(revision_of(LogIndex(3), 1), b"3."), None]

    assert [chain.last_showing(b"k", item, LogIndex(9)) for item in items] == [2, None, 3, 9]
    assert [chain.last_showing(b"k", item, LogIndex(1)) for item in items] == [1, None, None, 0]
    assert chain.last_showing(b"k", Item(revision(1), b"9."), LogIndex(9)) is None
    assert chain.last_showing(b"other", None, LogIndex(4)) == 4


def test_results_are_alike_whatever_the_words() -> None:
    assert alike(Rejected(Reason.OVERFLOW, "so"), Rejected(Reason.OVERFLOW, "or so"))
    assert not alike(Rejected(Reason.OVERFLOW, ""), Rejected(Reason.TOO_LARGE, ""))
    assert not alike(Written(1), Written(2))


def test_it_remembers_what_was_done_once_for_as_long_as_it_must() -> None:
    chain = chain_of(at(1_000, Once(b"token", b"", 50, Put(b"k", b"1."))))
    assert chain.tokens == {b"token"}

    chain.extend(1, at(1_050), Term(1))
    assert chain.tokens == set()
