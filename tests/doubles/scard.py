# SPDX-License-Identifier: Apache-2.0
"""PC/SC as a set of readers that a test moves by hand, instead of pyscard and pcscd."""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from remsim.readers.pcsc.scard import (
    COUNTER_SHIFT,
    PNP_NOTIFICATION,
    STATE_CHANGED,
    STATE_EMPTY,
    STATE_EXCLUSIVE,
    STATE_INUSE,
    STATE_PRESENT,
)
from remsim.readers.pcsc_common import codes
from remsim.readers.pcsc_common.values import ATTR_CHANNEL_ID, SHARE_DIRECT, SHARE_SHARED

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
NO_SERVICE = 0x8010001D
NO_SMARTCARD = 0x8010000C
NOT_SUPPORTED = 0x80100022
SHARING_VIOLATION = 0x8010000B


def following(card: Callable[[bytes], bytes], apdu: bytes) -> bytes:
    """What a reader at APDU level makes of an APDU: it follows 61xx, 9Fxx and 6Cxx itself, with Le or without."""
    response = card(apdu)
    if response[-2] == 0x6C and len(apdu) == 5:
        response = card(apdu[:4] + response[-1:])
    data = response[:-2]
    while response[-2] in (0x61, 0x9F):
        response = card(bytes((apdu[0] & 0xF3 if apdu[0] != 0xA0 else 0xA0, 0xC0, 0x00, 0x00, response[-1])))
        data += response[:-2]
    return data + response[-2:]


@dataclass
class FakeReader:
    """One reader; ``counter`` counts insertions and removals."""

    is_present: bool = True
    atr: bytes = ATR
    protocol: int = 1
    counter: int = 0
    #: Return codes by function name, used once.
    failures: dict[str, int] = field(default_factory=dict)
    #: What happened, for assertions.
    log: list[str] = field(default_factory=list)
    response: bytes = b"\x90\x00"
    #: Answers commands, and powers the card up, in place of ``response``.
    card: Callable[[bytes], bytes] | None = None
    power_up: Callable[[], object] | None = None
    #: Called before the card is let go.
    power_off: Callable[[], object] | None = None
    #: What SCARD_ATTR_CHANNEL_ID gives; None: the driver does not know it.
    channel: int | None = None
    #: Transmit waits until this is set.
    gate: threading.Event | None = None
    #: A direct connection waits until this is set, as behind another program's transaction.
    connect_gate: threading.Event | None = None

    #: Another program holds it for itself alone.
    is_held: bool = False

    @property
    def state(self) -> int:
        use = STATE_INUSE | STATE_EXCLUSIVE if self.is_held else 0
        return (STATE_PRESENT if self.is_present else STATE_EMPTY) | use | self.counter << 16


class FakeScard:
    """The functions of ``smartcard.scard`` that we use."""

    SCARD_PCI_T0 = 1
    SCARD_SCOPE_USER = 0

    def __init__(self, **readers: FakeReader) -> None:
        self.readers = readers
        #: Names that stand in the list once more each.
        self.twins: list[str] = []
        #: Entries that SCardGetStatusChange takes in a call, and how many it was given in each.
        self.most_entries = 1 << 16
        self.asked_entries: list[int] = []
        self.is_running = True
        self._changed = threading.Condition()
        self._handles: dict[int, FakeReader] = {}
        self._last = 0
        self.contexts = 0
        self.listing_fails = 0

    def change(self, **readers: FakeReader | None) -> None:
        """Plug readers in, or out with None, and wake all waiting calls. Without arguments only wake."""
        with self._changed:
            for name, reader in readers.items():
                if reader is None:
                    del self.readers[name]
                else:
                    self.readers[name] = reader
            self._changed.notify_all()

    def _fail(self, reader: FakeReader, what: str) -> int:
        reader.log.append(what)
        return reader.failures.pop(what, codes.SUCCESS)

    def SCardEstablishContext(self, scope: int, /) -> tuple[int, int]:  # noqa: N802  # the names are PC/SC's
        if not self.is_running:
            return NO_SERVICE, 0
        self.contexts += 1
        self._last += 1
        return codes.SUCCESS, self._last

    def SCardReleaseContext(self, context: int, /) -> int:  # noqa: N802
        self.contexts -= 1
        return codes.SUCCESS

    def SCardCancel(self, context: int, /) -> int:  # noqa: N802
        self.change()
        return codes.SUCCESS

    def SCardListReaders(self, context: int, groups: list[str], /) -> tuple[int, list[str]]:  # noqa: N802
        if not self.is_running:
            return NO_SERVICE, []
        names = [*self.readers, *self.twins]
        return (codes.SUCCESS if names else codes.E_NO_READERS_AVAILABLE), names

    def SCardGetStatusChange(  # noqa: N802
        self, context: int, timeout_ms: int, states: list[tuple[str, int]], /
    ) -> tuple[int, list[tuple[str, int, list[int]]]]:
        self.asked_entries.append(len(states))
        if len(states) > self.most_entries:
            return codes.E_INVALID_PARAMETER, []
        with self._changed:
            for attempt in range(2):
                if not self.is_running:
                    return NO_SERVICE, []
                found: list[tuple[str, int, list[int]]] = []
                is_changed = False
                for name, known in states:
                    if name == PNP_NOTIFICATION:
                        # As pcsc-lite does it: the upper half of the state counts readers.
                        count = len(self.readers) + len(self.twins)
                        is_changed = is_changed or count != known >> COUNTER_SHIFT
                        found.append((name, count << COUNTER_SHIFT | STATE_CHANGED, []))
                        continue
                    reader = self.readers.get(name)
                    if reader is None:
                        return codes.E_UNKNOWN_READER, []
                    is_new = reader.state != known
                    is_changed = is_changed or is_new
                    state = reader.state | (STATE_CHANGED if is_new else 0)
                    found.append((name, state, list(reader.atr) if reader.is_present else []))
                if is_changed or timeout_ms == 0:
                    return codes.SUCCESS, found
                if attempt == 0:
                    self._changed.wait(timeout_ms / 1000)
            return codes.E_TIMEOUT, []

    def SCardConnect(self, context: int, reader: str, share: int, protocols: int, /) -> tuple[int, int, int]:  # noqa: N802
        found = self.readers.get(reader)
        if found is None:
            return codes.E_UNKNOWN_READER, 0, 0
        if share == SHARE_DIRECT:
            if found.connect_gate is not None:
                found.connect_gate.wait()
            self._last = handle = self._last + 1
            self._handles[handle] = found
            code = self._fail(found, "connect direct")
            return SHARING_VIOLATION if found.is_held else code, handle, 0
        code = self._fail(found, "connect shared" if share == SHARE_SHARED else "connect")
        if not found.is_present:
            return NO_SMARTCARD, 0, 0
        self._last += 1
        self._handles[self._last] = found
        return code, self._last, found.protocol

    def SCardReconnect(self, card: int, share: int, protocols: int, initialization: int, /) -> tuple[int, int]:  # noqa: N802
        found = self._handles[card]
        if found.power_up is not None:
            found.power_up()
        return self._fail(found, ["leave", "warm", "cold"][initialization]), found.protocol

    def SCardStatus(self, card: int, /) -> tuple[int, str, int, int, list[int]]:  # noqa: N802
        found = self._handles[card]
        return found.failures.pop("status", codes.SUCCESS), "", 0, found.protocol, list(found.atr)

    def SCardTransmit(self, card: int, pci: int, command: list[int], /) -> tuple[int, list[int]]:  # noqa: N802
        found = self._handles[card]
        code = self._fail(found, "transmit")
        if found.gate is not None:
            found.gate.wait()
        return code, list(found.response if found.card is None else found.card(bytes(command)))

    def SCardDisconnect(self, card: int, disposition: int, /) -> int:  # noqa: N802
        found = self._handles.pop(card)
        if found.power_off is not None:
            found.power_off()
        return self._fail(found, ["disconnect", "", "unpower"][disposition])

    def SCardGetAttrib(self, card: int, attribute: int, /) -> tuple[int, list[int]]:  # noqa: N802
        found = self._handles[card]
        if attribute != ATTR_CHANNEL_ID or found.channel is None:
            return NOT_SUPPORTED, []
        return codes.SUCCESS, list(found.channel.to_bytes(4, sys.byteorder))
