# SPDX-License-Identifier: Apache-2.0
"""Accounts for calls at readers that were given up and have not returned.

Such a call cannot be ended. It keeps a thread, or a descriptor, and a place at the PC/SC service. There is at most one
for each reader, because a reader whose call has not returned is not opened; and at most ``MAX_STUCK`` in all, because
then no reader is opened any more.
"""

from collections.abc import Callable
from typing import Final

from remsim.logs import Logger
from remsim.readers.base import CardReader

#: pcsc-lite serves 200 clients at a time; other programs must still find a place.
MAX_STUCK: Final = 64
#: From so many on, it is asked whether all readers hang together.
_FEW: Final = 2


class StuckReaders:
    """The calls that have not returned. ``readers`` gives the number of readers that the bank has now."""

    def __init__(self, *, readers: Callable[[], int], log: Logger) -> None:
        self._readers = readers
        self._log = log
        self._stuck: list[CardReader] = []
        self._is_told = False
        #: Readers that got stuck since the start; one that does so again counts again.
        self.total = 0

    @property
    def count(self) -> int:
        """How many there are now."""
        return len(self.names)

    @property
    def names(self) -> list[str]:
        """Those that there are now, in the order in which they got stuck."""
        self._stuck = [reader for reader in self._stuck if reader.is_stuck]
        return [reader.name for reader in self._stuck]

    @property
    def is_full(self) -> bool:
        """No further reader may get stuck."""
        return self.count >= MAX_STUCK

    def look_at(self, reader: CardReader) -> None:
        """``reader`` was closed, or was to be: count it if it is stuck, and say it if too many are."""
        if reader.is_stuck and not any(known is reader for known in self._stuck):
            self._stuck.append(reader)
            self.total += 1
            self._log.warning("reader_stuck", reader=reader.name, hint="it is used again when its driver returns")
        count, readers = self.count, self._readers()
        are_too_many = count >= max(_FEW, (readers + 1) // 2)
        if are_too_many and not self._is_told:
            self._log.error(
                "readers_stuck",
                stuck=count,
                readers=readers,
                text="so many readers hang that the PC/SC service or a USB hub does",
                hint="restart pcscd (systemctl restart pcscd); if they hang again, take the power from the hub",
            )
        elif self._is_told and count == 0:
            self._log.info("readers_not_stuck", readers=readers)
        self._is_told = are_too_many or (self._is_told and count > 0)
