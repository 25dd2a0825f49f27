"""Exporting: everything in a range of keys, as lines that are made while they are read."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from app.entries import encode_lines, entries_of
from app.exportend import End, encode_end
from app.problems import problem_of
from app.scanning import Page, Pager, ScanRequest
from raftgroups import DrainingError, RaftGroupError

# How long a page is tried again that could not be had: elections are over by then.
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.2
# Each may hold a page that its client has not read yet.
EXPORTS_OPEN_MAX = 32


class Export:
    """One export, a page at a time.

    Cost: keeps a page. The next is asked for when this one has been taken.
    """

    def __init__(self, pager: Pager, request: ScanRequest, is_ending: Callable[[], bool]) -> None:
        self._pager = pager
        self._request = request
        self._is_ending = is_ending

    async def begin(self) -> Page:
        """The first page. Raises: RaftGroupError, while a failure can still be the whole answer."""
        return await self._page(self._request.after)

    async def lines(self, page: Page) -> AsyncIterator[bytes]:
        """All lines, the end included, from the first page on. A failure is in the end, which then is not complete."""
        count = 0
        while True:
            if page.pairs:
                count += len(page.pairs)
                yield encode_lines(entries_of(page.pairs, page.clock_ms_of))
            if page.after is None:
                yield encode_end(End(True, count))
                return
            await asyncio.sleep(0)  # however quick pages are, whoever else waits has a turn between them
            after = page.after
            try:
                page = await self._patiently(after)
            except RaftGroupError as error:
                document = json.loads(problem_of(error, writes=False).answer().body)
                yield encode_end(End(False, count, document, self._request.keys.encode_cursor(after)))
                return

    async def _patiently(self, after: bytes) -> Page:
        give_up_at = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                return await self._page(after)
            except DrainingError:
                raise
            except RaftGroupError as error:
                is_lasting = not problem_of(error, writes=False).kind.retryable
                if is_lasting or asyncio.get_running_loop().time() >= give_up_at:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def _page(self, after: bytes | None) -> Page:
        if self._is_ending():
            raise DrainingError("this node is shutting down")
        deadline = asyncio.get_running_loop().time() + self._request.timeout_seconds
        return await self._pager.page(self._request, after, deadline)
