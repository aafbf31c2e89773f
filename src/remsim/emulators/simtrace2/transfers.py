# SPDX-License-Identifier: Apache-2.0
"""The transfers of one claimed interface: several IN transfers always queued, OUT transfers one after the other.

One OUT transfer is in progress at a time, so that what has become void can still be dropped. A device collects packets
until a short one, so an OUT transfer that ended in its middle is closed with an empty packet, on which the device drops
the part (simtrace2.md, 6.2 and 6.3). Does no I/O itself; time is an argument.
"""

from collections import deque
from typing import Final, Protocol

from remsim.core.values import dataclass
from remsim.emulators.simtrace2.boards import SlotInterface
from remsim.emulators.simtrace2.find import DeviceError
from remsim.emulators.simtrace2.stream import MessageReader, OutTransfer, StreamFault
from remsim.emulators.simtrace2.usb import TransferEnd, UsbPort

#: With a single one, hosts have missed messages behind a PPS report (simtrace2.md, 6.1).
BULK_TRANSFERS: Final = 6
#: The kernel gives transfers back in the order in which they ended, so a host that had to wait for the processor still
#: reads a reset before the command behind it, if all reports of the reset found a transfer. A modem that takes the
#: power away and gives it back causes seven; what finds none stays in the device, and commands overtake it.
INTERRUPT_TRANSFERS: Final = 8
#: After so many failures without one success between them the interface is given up, to be opened afresh.
MAX_FAILURES: Final = 10
#: A device takes a message within milliseconds. One that hangs is restarted by its watchdog after 2 s.
OUT_WAIT_S: Final = 5.0

_EMPTY: Final = OutTransfer(b"")


class BoardHandler(Protocol):
    """What the user of the transfers is told."""

    def on_bulk(self, item: bytes | StreamFault) -> None:
        """A message of the device, or what should have been one."""
        ...

    def on_interrupt(self, item: bytes | StreamFault) -> None:
        """A line change, or what should have been one."""
        ...

    def on_sent(self, generation: int) -> None:
        """The device has taken a message that belongs to this command."""
        ...

    def on_trouble(self, reason: str) -> None:
        """A transfer failed; it is tried again."""
        ...

    def on_lost(self, reason: str) -> None:
        """The interface is of no use any more. Said once."""
        ...


@dataclass(frozen=True, slots=True)
class _Out:
    transfer: OutTransfer
    generation: int | None


class UsbTransfers:
    """See the module. ``on_in`` and ``on_out`` are those of ``UsbListener`` with the time added."""

    def __init__(self, port: UsbPort, slot: SlotInterface, handler: BoardHandler) -> None:
        self._port = port
        self._slot = slot
        self._handler = handler
        self._readers = {slot.bulk_in: MessageReader(), slot.interrupt_in: MessageReader()}
        self._failures = dict.fromkeys((slot.bulk_in, slot.interrupt_in, slot.bulk_out), 0)
        self._queue: deque[_Out] = deque()
        self._flying: _Out | None = None
        # What is flying has been taken back: it may fail instead of being cancelled, and is not sent again.
        self._is_dropped = False
        self._out_due: float | None = None
        self._is_lost = False

    @property
    def is_idle(self) -> bool:
        """Whether the device has taken all that was sent, or never will."""
        return self._is_lost or (self._flying is None and not self._queue)

    def open(self) -> None:
        """Begin to read."""
        for endpoint, count in ((self._slot.interrupt_in, INTERRUPT_TRANSFERS), (self._slot.bulk_in, BULK_TRANSFERS)):
            for _ in range(count):
                self._submit_in(endpoint)

    # Device to host

    def _submit_in(self, endpoint: int) -> None:
        if self._is_lost:
            return
        try:
            self._port.submit_in(endpoint)
        except DeviceError as error:
            self.lose(str(error))

    def on_in(self, endpoint: int, end: TransferEnd, data: bytes) -> None:
        """Take what came, then queue the transfer again."""
        if self._is_lost or not self._go_on(endpoint, end):
            return
        handle = self._handler.on_bulk if endpoint == self._slot.bulk_in else self._handler.on_interrupt
        # A transfer that failed may have brought a whole packet all the same.
        for item in self._readers[endpoint].receive_packet(data):
            handle(item)
        self._submit_in(endpoint)

    def _go_on(self, endpoint: int, end: TransferEnd) -> bool:
        """Whether the endpoint can be used further."""
        if end is TransferEnd.COMPLETED:
            self._failures[endpoint] = 0
            return True
        if end in (TransferEnd.GONE, TransferEnd.CANCELLED):
            self.lose(end.value)
            return False
        self._failures[endpoint] += 1
        reason = f"{end.value} on endpoint {endpoint:02x}"
        if self._failures[endpoint] >= MAX_FAILURES:
            self.lose(f"{reason}, {MAX_FAILURES} times in a row")
            return False
        self._handler.on_trouble(reason)
        if end is TransferEnd.STALLED:
            return self._clear_halt(endpoint)
        return True

    def _clear_halt(self, endpoint: int) -> bool:
        try:
            self._port.clear_halt(endpoint)
        except DeviceError as error:
            self.lose(str(error))
            return False
        return True

    # Host to device

    def send(self, transfer: OutTransfer, generation: int | None, now: float) -> None:
        """Send a message as soon as those before it are taken."""
        if not self._is_lost:
            self._queue.append(_Out(transfer, generation))
            self._send_next(now)

    def drop(self, generation: int) -> None:
        """Take back what belongs to this command and has not reached the device."""
        self._queue = deque(out for out in self._queue if out.generation != generation)
        if self._flying is not None and self._flying.generation == generation:
            self._is_dropped = True
            self._port.cancel_out()

    def _send_next(self, now: float) -> None:
        if self._flying is not None or not self._queue:
            return
        self._flying = out = self._queue.popleft()
        self._is_dropped = False
        self._out_due = now + OUT_WAIT_S
        try:
            self._port.submit_out(out.transfer.data, has_zero_packet=out.transfer.has_zero_packet)
        except DeviceError as error:
            self.lose(str(error))

    def on_out(self, end: TransferEnd, taken: int, now: float) -> None:
        """The transfer in progress has ended."""
        out, self._flying, self._out_due = self._flying, None, None
        if self._is_lost or out is None:
            return
        is_taken = end is TransferEnd.COMPLETED or (end is TransferEnd.CANCELLED and taken == len(out.transfer.data))
        if is_taken:
            self._failures[self._slot.bulk_out] = 0
            if out.generation is not None:
                self._handler.on_sent(out.generation)
        elif end is not TransferEnd.CANCELLED:
            if not self._go_on(self._slot.bulk_out, end):
                return
            if not self._is_dropped:
                self._queue.appendleft(out)
        if not is_taken and taken:
            self._queue.appendleft(_Out(_EMPTY, None))
        self._send_next(now)

    # Time, and the end

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due, None if never."""
        return self._out_due

    def handle_timer(self, now: float) -> None:
        """Give up a device that takes nothing."""
        if self._out_due is not None and self._out_due <= now:
            self.lose("the device takes no messages")

    def lose(self, reason: str) -> None:
        """The interface is of no use any more."""
        if not self._is_lost:
            self._is_lost = True
            self._out_due = None
            self._queue.clear()
            self._handler.on_lost(reason)
