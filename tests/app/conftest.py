"""Gateways for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.app.running import Running, running


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    """One gateway with the default limits, shared by a module's tests; each uses keys of its own."""
    with running() as started:
        yield started
