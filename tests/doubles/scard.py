# SPDX-License-Identifier: Apache-2.0
"""PC/SC as a set of readers that a test moves by hand, instead of pyscard and pcscd."""

import threading
from dataclasses import dataclass, field

from remsim.readers.pcsc import codes
from remsim.readers.pcsc.scard import PNP_NOTIFICATION, STATE_CHANGED, STATE_EMPTY, STATE_PRESENT

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
NO_SERVICE = 0x8010001D
NO_SMARTCARD = 0x8010000C
SHARING_VIOLATION = 0x8010000B


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
    #: Transmit waits until this is set.
    gate: threading.Event | None = None

    @property
    def state(self) -> int:
        return (STATE_PRESENT if self.is_present else STATE_EMPTY) | self.counter << 16


class FakeScard:
    """The functions of ``smartcard.scard`` that we use."""

    SCARD_PCI_T0 = 1
    SCARD_PROTOCOL_T0 = 1
    SCARD_SCOPE_USER = 0
    SCARD_SHARE_EXCLUSIVE = 1
    SCARD_SHARE_SHARED = 2

    def __init__(self, **readers: FakeReader) -> None:
        self.readers = readers
        self.is_running = True
        self._changed = threading.Condition()
        self._handles: dict[int, FakeReader] = {}
        self._last = 0
        self.contexts = 0
        self.listing_fails = 0

    def change(self, **readers: FakeReader | None) -> None:
        """Plug readers in, or out with None, and wake whoever waits. Without arguments only wake."""
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
        names = list(self.readers)
        return (codes.SUCCESS if names else codes.E_NO_READERS_AVAILABLE), names

    def SCardGetStatusChange(  # noqa: N802
        self, context: int, timeout_ms: int, states: list[tuple[str, int]], /
    ) -> tuple[int, list[tuple[str, int, list[int]]]]:
        with self._changed:
            for attempt in range(2):
                if not self.is_running:
                    return NO_SERVICE, []
                found: list[tuple[str, int, list[int]]] = []
                is_changed = False
                for name, known in states:
                    if name == PNP_NOTIFICATION:
                        found.append((name, known, []))
                        is_changed = is_changed or len(self.readers) != len(states) - 1
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
        code = self._fail(found, "connect shared" if share == self.SCARD_SHARE_SHARED else "connect")
        if not found.is_present:
            return NO_SMARTCARD, 0, 0
        self._last += 1
        self._handles[self._last] = found
        return code, self._last, found.protocol

    def SCardReconnect(self, card: int, share: int, protocols: int, initialization: int, /) -> tuple[int, int]:  # noqa: N802
        found = self._handles[card]
        return self._fail(found, ["leave", "warm", "cold"][initialization]), found.protocol

    def SCardStatus(self, card: int, /) -> tuple[int, str, int, int, list[int]]:  # noqa: N802
        found = self._handles[card]
        return found.failures.pop("status", codes.SUCCESS), "", 0, found.protocol, list(found.atr)

    def SCardTransmit(self, card: int, pci: int, command: list[int], /) -> tuple[int, list[int]]:  # noqa: N802
        found = self._handles[card]
        code = self._fail(found, "transmit")
        if found.gate is not None:
            found.gate.wait()
        return code, list(found.response)

    def SCardDisconnect(self, card: int, disposition: int, /) -> int:  # noqa: N802
        return self._fail(self._handles.pop(card), ["disconnect", "", "unpower"][disposition])
