"""What tests of the engine share."""

import sys
from collections.abc import Iterator

import pytest

from engine import MemoryFileSystem


@pytest.fixture
def disk() -> MemoryFileSystem:
    return MemoryFileSystem()


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns so often that much happens in between."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)
