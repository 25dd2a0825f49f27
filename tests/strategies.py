"""Generators of keys and records for property tests."""

from hypothesis import strategies as st

from engine.record import Expiring

# Few and short, so that they collide, contain each other and share prefixes; and some of any kind.
keys = st.one_of(st.text("ab\0", min_size=1, max_size=4).map(str.encode), st.binary(min_size=1, max_size=40))
values = st.one_of(st.binary(max_size=8), st.integers(0, 300).map(lambda length: b"v" * length))
scans = st.fixed_dictionaries(
    {},
    optional={
        "start": st.one_of(st.just(b""), keys),
        "end": st.one_of(st.none(), keys),
        "prefix": st.one_of(st.just(b""), keys.map(lambda key: key[:2])),
        "reverse": st.booleans(),
        "limit": st.one_of(st.none(), st.integers(0, 20)),
    },
)
expiring = st.builds(Expiring.at, st.integers(0, 100), values)
records = st.dictionaries(keys, st.one_of(st.none(), values, expiring), max_size=60)
bounds = st.one_of(st.just(b""), keys)
ranges = st.tuples(bounds, st.one_of(st.none(), bounds))
