# SPDX-License-Identifier: Apache-2.0
"""Ends the leases of tokens that are not good any more: revoked, expired, or for less than they were."""

import asyncio
import time
from typing import Final

from remsim.server.core.lease_tokens import lapsed
from remsim.server.runtime import ServerRuntime
from remsim.server.store.writer import StoreError

#: Between two looks.
INTERVAL_S: Final = 5.0


async def watch_lease_tokens(runtime: ServerRuntime) -> None:
    """Look, for ever. A task."""
    while True:
        await end_lapsed(runtime)
        await asyncio.sleep(INTERVAL_S)


async def end_lapsed(runtime: ServerRuntime) -> None:
    """Look once. While the database cannot be read, no lease ends."""
    table = runtime.coordinator.lending.table
    if not any(lease.order.token_id for lease in table):
        return
    try:
        tokens = await runtime.query.tokens()
    except StoreError:
        return
    runtime.revoke_leases(lapsed(table, {token.token_id: token for token in tokens}, time.time()))
