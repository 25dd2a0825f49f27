"""Both ways in which an AsyncClient may send."""

import asyncio

import pytest

from app.client import AsyncClient
from app.pipeline import PipelinedClient
from tests.app.running import running


@pytest.mark.parametrize("kind", [AsyncClient, PipelinedClient])
def test_the_answer_to_head_has_no_body_to_wait_for(kind: type[AsyncClient]) -> None:
    with running() as gateway:

        async def run() -> None:
            async with kind(gateway.url, timeout_seconds=5, attempt_seconds=1) as client:
                put = await client.put("k", "value")
                for _ in range(2):
                    found = await client.head("k")
                    assert found is not None and found.revision == put.revision
                    assert await client.head("none") is None
                value = await client.get("k")
                assert value is not None and value.value == b"value"

        asyncio.run(run())
