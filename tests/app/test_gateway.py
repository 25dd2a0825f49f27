"""The gateway: listening first, open later."""

from app.gateway import Gateway
from tests.app.fake_coordinator import FakeCoordinator
from tests.app.running import SETTINGS


def test_a_gateway_is_ready_once_it_is_open_and_all_is_well() -> None:
    gateway = Gateway(SETTINGS)
    assert gateway.unready() == ["the node is still starting"]

    fake = FakeCoordinator(reasons=["partition 3 has no known leader"])
    gateway.open(fake)  # type: ignore[arg-type]  # has the methods that are used
    assert gateway.unready() == ["partition 3 has no known leader"]

    fake.reasons = []
    assert gateway.unready() == []

    gateway.drain()
    assert gateway.is_draining and not gateway.is_ending
    assert gateway.unready() == ["the node is shutting down"]
