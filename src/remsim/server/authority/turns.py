# SPDX-License-Identifier: Apache-2.0
"""Work on the authority's files: one piece at a time, in a thread, and nobody waits for long.

Another program may hold the ledger. What asks then waits in a thread; without turns, callers that anybody may be
would have all threads of the pool wait there, and pages and log-ins with them.
"""

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from remsim.net.runtime.tasks import in_thread
from remsim.pki.errors import AuthorityError

T = TypeVar("T")
P = ParamSpec("P")

#: A piece of work takes some milliseconds, so this is enough for a queue of a hundred.
WAIT_S: Final = 2.0


class AuthorityTurns:
    """One for a server."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do ``work`` when its turn comes.

        Raises AuthorityError if that is not soon, and what ``work`` raises.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turn.acquire()
        except TimeoutError:
            raise AuthorityError(
                "the authority's files are in use for longer than they should be",
                hint="end what has ledger.sqlite open on the server's host, then try again",
            ) from None
        try:
            return await in_thread(work, *args, **kwargs)
        finally:
            self._turn.release()
