# SPDX-License-Identifier: Apache-2.0
"""Looks after the authority beside a running server, in a thread, again and again."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from remsim.logs import Logger
from remsim.pki.errors import PkiError

if TYPE_CHECKING:
    from remsim.server.house import House

#: Other processes issue and revoke; a revocation is to be effective within a minute.
CHECK_INTERVAL_S: Final = 5.0


async def keep_house(house: "House", *, log: Logger, on_looked: Callable[[], None]) -> None:
    """For ever; what goes wrong is logged when it begins. ``on_looked`` is called each time, however it went."""
    trouble = ""
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        try:
            await asyncio.to_thread(house.refresh)
        except (PkiError, OSError) as error:
            if str(error) != trouble:
                hint = error.hint if isinstance(error, PkiError) else ""
                log.error("authority_in_trouble", error=str(error), hint=hint)
            trouble = str(error)
        else:
            trouble = ""
        on_looked()
