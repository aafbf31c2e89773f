# SPDX-License-Identifier: Apache-2.0
"""The numbers of the cards in a bank without I/O: whose is to be read, when, and what the server hears.

With the number, all that a card says without a PIN can be read (ability ``inventory.1``); then the same holds for that.

A card is read once, after it came, while nobody uses it, and before anybody gets it. Nothing is read before the bank
has an active server that wants numbers: until then there is no mapping that it could judge by them, and a server of the
C suite wants none. Never a second attempt: a card that cannot be read has no number until it is exchanged. Where
another program has the reader, the card was not asked: it is read when the reader is ours again. A card of which only
the number was read is read once more, while nobody uses it, when a server comes that wants the rest.
"""

from itertools import chain, islice
from typing import Final, Protocol

from remsim.bankd.core.actions import BankdAction, FaultKind, ReadNumber
from remsim.bankd.core.session import CardSlot
from remsim.bankd.core.states import CardEvent, CardState
from remsim.card.identity import CardIdentity
from remsim.core.ids import BankSlot
from remsim.core.log_event import LogEvent
from remsim.redaction import shorten_iccid

#: Cards that nobody waits for are powered so many at a time: a rack of readers at one hub must not be overloaded.
MAX_READINGS: Final = 4


class NumberListener(Protocol):
    """How the server hears of numbers, if it wants to."""

    def card_number(self, bank_slot: BankSlot, iccid: str | None) -> None:
        """The number of the card there; None if there is none or it cannot be read."""
        ...

    def card_contents(self, bank_slot: BankSlot, identity: CardIdentity) -> None:
        """What the card there says of itself without a PIN."""
        ...


class CardNumbers:
    """``positions`` are all card positions of the bank. Not ``is_enabled``: no card is ever read."""

    def __init__(
        self,
        positions: list[CardSlot],
        *,
        server: NumberListener,
        out: list[BankdAction],
        is_enabled: bool,
    ) -> None:
        self._positions = positions
        self._server = server
        self._out = out
        self._is_enabled = is_enabled
        self._is_wanted = self._is_over = self._reads_all = False
        #: Whether all that cards say without a PIN is read, if the server wants that.
        self.takes_inventory = True
        # Cards that came and were not read since, the oldest first.
        self._unread: dict[CardSlot, None] = {}
        # Cards of which only the number was read.
        self._half_read: dict[CardSlot, None] = {}
        # Cards whose reader another program has, until their next attempt is due. They are in one of the two above.
        self._put_off: set[CardSlot] = set()
        self._readings = 0

    def is_put_off(self, position: CardSlot) -> bool:
        """Another program had the reader; ``on_due`` is to be called when the card is to be tried again."""
        return position in self._put_off

    def is_due(self, position: CardSlot) -> bool:
        """The card there must be read before anybody gets it."""
        return self._is_wanted and position in self._unread

    # What happens

    def on_server_active(self, *, is_wanted: bool, wants_all: bool = False) -> None:
        """There is an active server; ``is_wanted``: it wants numbers. It hears all that is known already.

        ``wants_all``: it wants all that cards say without a PIN. Only cards that were asked for less are read again.
        """
        self._reads_all = wants_all and self.takes_inventory
        self._is_wanted = is_wanted and self._is_enabled and not self._is_over
        for position in self._positions:
            if position not in self._unread or position in self._put_off:
                self._server.card_number(position.bank_slot, position.iccid)
                self._tell_contents(position)
        self.go_on()

    def on_presence(self, position: CardSlot) -> None:
        """A card came or went; ``go_on``, or ``begin`` for a session that waits for it, is to be called next."""
        position.iccid, position.identity = None, None
        self._half_read.pop(position, None)
        self._put_off.discard(position)
        if not self._is_enabled:
            return
        if position.is_present:
            self._unread[position] = None
        else:
            self._unread.pop(position, None)
            self._server.card_number(position.bank_slot, None)

    def on_number(
        self, position: CardSlot, iccid: str | None, reason: str, identity: CardIdentity | None = None
    ) -> None:
        """The reading there is over; ``reason`` says why there is no number. The position is off now."""
        position.step(CardEvent.NUMBER)
        self._readings -= 1
        if not position.is_present or position in self._unread:
            # That card is gone.
            return
        if iccid is None and position.iccid is not None:
            # The second reading failed. What the first one gave is still true.
            return
        position.iccid, position.identity = iccid, identity
        if iccid is None:
            fields: dict[str, object] = {"reader": position.reader, "error": reason}
            self._out.append(LogEvent("info", "card_number_unreadable", position.bank_slot, fields=fields))
        else:
            fields = {"reader": position.reader, "iccid": shorten_iccid(iccid)}
            self._out.append(LogEvent("debug", "card_number", position.bank_slot, fields=fields))
        self._server.card_number(position.bank_slot, iccid)
        self._tell_contents(position)

    def on_busy(self, position: CardSlot) -> bool:
        """Another program has the reader, so the reading is put off; ``on_due`` ends that. The position is off now.

        False: the card that was to be read is gone.
        """
        position.step(CardEvent.NUMBER)
        self._readings -= 1
        if not position.is_present or position in self._unread:
            return False
        if position.iccid is None:
            self._half_read.pop(position, None)
            self._unread[position] = None
            if position.fault is not FaultKind.BUSY:
                # What it knows of an earlier card holds no more.
                self._server.card_number(position.bank_slot, None)
        else:
            self._half_read[position] = None
        self._put_off.add(position)
        return True

    def on_due(self, position: CardSlot) -> None:
        """If the reading there was put off, it may be tried again; ``go_on`` or ``begin`` is to be called next."""
        self._put_off.discard(position)

    def _tell_contents(self, position: CardSlot) -> None:
        if position.identity is not None:
            self._server.card_contents(position.bank_slot, position.identity)

    def stop(self) -> None:
        """Begin no more readings, whatever server comes."""
        self._is_wanted, self._is_over = False, True

    # Reading

    def begin(self, position: CardSlot) -> None:
        """Read the card there, which is due. A session that waits for it does not wait for other readings."""
        self._unread.pop(position, None)
        self._put_off.discard(position)
        if self._reads_all:
            self._half_read.pop(position, None)
        else:
            self._half_read[position] = None
        self._readings += 1
        position.step(CardEvent.READ)
        self._out.append(ReadNumber(position.slot_nr, self._reads_all))

    def go_on(self) -> None:
        """Read cards that nobody wants, as many at a time as may be."""
        if not self._is_wanted or self._readings >= MAX_READINGS:
            return
        # A card whose number is not known comes first. One that had no number when it was asked is left alone.
        again = (each for each in self._half_read if each.iccid is not None) if self._reads_all else ()
        cards = (position for position in chain(self._unread, again) if position not in self._put_off)
        idle = (position for position in cards if position.state is CardState.OFF)
        for position in list(islice(idle, MAX_READINGS - self._readings)):
            self.begin(position)
