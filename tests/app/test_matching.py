from hypothesis import given
from hypothesis import strategies as st

from app.matching import Matcher, Pattern

texts = st.binary(max_size=4) | st.sampled_from([b"a", b"ab", b"abc", b"b"])
patterns = st.builds(Pattern, texts, st.booleans())


@given(st.lists(patterns, max_size=20), st.lists(texts, max_size=10), st.data())
def test_a_matcher_finds_whoever_matches(added: list[Pattern], keys: list[bytes], data: st.DataObject) -> None:
    """As many as there are, each once, whoever has left meanwhile."""
    matcher: Matcher[int] = Matcher()
    for who, pattern in enumerate(added):
        matcher.add(pattern, who)
    gone = data.draw(st.sets(st.integers(0, len(added) - 1))) if added else set()
    for who in gone:
        matcher.discard(added[who], who)

    for key in keys:
        expected = [who for who, pattern in enumerate(added) if who not in gone and pattern.matches(key)]
        assert sorted(matcher.find(key)) == expected
        assert matcher.matches(key) is bool(expected)


def test_whoever_is_added_twice_is_found_once() -> None:
    matcher: Matcher[str] = Matcher()
    for _ in range(2):
        matcher.add(Pattern(b"k", True), "me")

    assert matcher.find(b"key") == ["me"]


def test_nothing_is_left_of_whoever_left() -> None:
    """Else each look-up would cost more for ever."""
    matcher: Matcher[str] = Matcher()
    for pattern in (Pattern(b"key", True), Pattern(b"key", False)):
        matcher.add(pattern, "me")
        matcher.discard(pattern, "me")

    assert vars(matcher) == vars(Matcher())
