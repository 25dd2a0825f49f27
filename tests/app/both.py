"""Both clients, one after the other: what is done with one can be done with the other."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.client import AsyncClient, Client

Do = Callable[..., Any]


def with_client(urls: str | list[str], act: Callable[[Any], Any], **options: Any) -> Any:
    """What `act` gives, which calls one method."""
    with Client(urls, **options) as client:
        return act(client)


def with_async_client(urls: str | list[str], act: Callable[[Any], Any], **options: Any) -> Any:
    """The same, awaited."""

    async def run() -> Any:
        async with AsyncClient(urls, **options) as client:
            return await act(client)

    return asyncio.run(run())


both = pytest.mark.parametrize("do", [with_client, with_async_client])
