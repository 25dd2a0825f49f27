from raftgroups.idempotency import Stored, decode_stored, encode_stored
from raftgroups.result import Unmet, Written


def test_what_is_stored_survives_its_encoding_which_never_changes() -> None:
    for result, encoded in (
        (Written(7), b"\x93\xc4\x01d\x09\x92\x01\x07"),
        (Unmet(0), b"\x93\xc4\x01d\x09\x92\x03\x00"),
    ):
        stored = Stored(b"d", 9, result)
        assert encode_stored(stored) == encoded
        assert decode_stored(encoded) == stored
