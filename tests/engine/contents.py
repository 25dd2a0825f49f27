"""Contents as real values make them: records that are alike, and not the same."""

import json
import random
from functools import cache

from engine.dictionary import Dictionary
from engine.zstd import train


def documents(count: int, seed: int = 1) -> list[bytes]:
    """JSON of about 100 bytes each, the same for the same seed."""
    rng = random.Random(seed)
    names = ("alice", "bob", "carol", "dave", "erin", "frank")
    return [
        json.dumps(
            {
                "id": rng.randrange(1 << 30),
                "name": rng.choice(names),
                "email": f"{rng.choice(names)}{rng.randrange(10_000)}@example.com",
                "active": rng.random() < 0.5,
                "score": rng.randrange(10_000) / 100,
            }
        ).encode()
        for _ in range(count)
    ]


@cache
def dictionary() -> Dictionary:
    """A small one for them."""
    trained = train([b"".join(documents(10, seed)) for seed in range(40)], 256)
    assert trained is not None
    return Dictionary.of(trained)
