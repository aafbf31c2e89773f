# SPDX-License-Identifier: Apache-2.0
"""Transfers of one interface: their order, what is dropped, and every way in which they can fail."""

import pytest

from remsim.emulators.simtrace2.boards import SlotInterface
from remsim.emulators.simtrace2.find import DeviceError
from remsim.emulators.simtrace2.stream import OutTransfer, StreamFault
from remsim.emulators.simtrace2.transfers import (
    BULK_TRANSFERS,
    INTERRUPT_TRANSFERS,
    MAX_FAILURES,
    OUT_WAIT_S,
    UsbTransfers,
)
from remsim.emulators.simtrace2.usb import NobodyListens, TransferEnd, UsbPort

SLOT = SlotInterface(0, 0, bulk_out=0x04, bulk_in=0x85, interrupt_in=0x86, interval_ms=1)
STATUS = bytes.fromhex("010400000000150003000000000001010a80250000")
SHORT, LONG = OutTransfer(bytes(9)), OutTransfer(bytes(128))


class Port(UsbPort):
    """Notes what is submitted."""

    def __init__(self) -> None:
        self.queued: list[int] = []
        self.written: list[tuple[bytes, bool]] = []
        self.cancelled = 0
        self.cleared: list[int] = []
        self.is_gone = False

    def _check(self) -> None:
        if self.is_gone:
            raise DeviceError("device gone")

    def submit_in(self, endpoint: int) -> None:
        self._check()
        self.queued.append(endpoint)

    def submit_out(self, data: bytes, *, has_zero_packet: bool) -> None:
        self._check()
        self.written.append((data, has_zero_packet))

    def cancel_out(self) -> None:
        self.cancelled += 1

    def clear_halt(self, endpoint: int) -> None:
        self._check()
        self.cleared.append(endpoint)

    async def read_string(self, index: int) -> str | None:
        return None

    async def close(self) -> None:
        return


class User:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.bulk: list[bytes | StreamFault] = []
        self.interrupt: list[bytes | StreamFault] = []
        self.sent: list[int] = []
        self.troubles: list[str] = []
        self.lost: list[str] = []

    def on_bulk(self, item: bytes | StreamFault) -> None:
        self.bulk.append(item)

    def on_interrupt(self, item: bytes | StreamFault) -> None:
        self.interrupt.append(item)

    def on_sent(self, generation: int) -> None:
        self.sent.append(generation)

    def on_trouble(self, reason: str) -> None:
        self.troubles.append(reason)

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def user() -> User:
    return User()


@pytest.fixture
def link(port: Port, user: User) -> UsbTransfers:
    link = UsbTransfers(port, SLOT, user)
    link.open()
    assert port.queued == [0x86] * INTERRUPT_TRANSFERS + [0x85] * BULK_TRANSFERS
    port.queued.clear()
    return link


def test_packets_become_messages_and_transfers_are_queued_again(link: UsbTransfers, port: Port, user: User) -> None:
    link.on_in(0x86, TransferEnd.COMPLETED, STATUS)
    link.on_in(0x85, TransferEnd.COMPLETED, STATUS[:8] + bytes(56))
    link.on_in(0x85, TransferEnd.COMPLETED, b"")
    assert user.interrupt == [STATUS]
    assert isinstance(user.bulk[-1], StreamFault)
    assert port.queued == [0x86, 0x85, 0x85]


def test_out_transfers_go_one_after_the_other(link: UsbTransfers, port: Port, user: User) -> None:
    link.send(SHORT, 1, 10.0)
    link.send(LONG, 1, 10.0)
    link.send(SHORT, None, 10.0)
    assert port.written == [(SHORT.data, False)]
    for taken in (9, 128, 9):
        link.on_out(TransferEnd.COMPLETED, taken, 11.0)
    assert port.written == [(SHORT.data, False), (LONG.data, True), (SHORT.data, False)]
    assert user.sent == [1, 1]
    assert link.is_idle
    assert link.next_deadline() is None


def test_what_is_not_taken_yet_can_be_dropped(link: UsbTransfers, port: Port, user: User) -> None:
    link.send(SHORT, None, 10.0)
    link.send(LONG, 1, 10.0)
    link.drop(1)
    assert port.cancelled == 0
    link.on_out(TransferEnd.COMPLETED, 9, 10.0)
    assert port.written == [(SHORT.data, False)]
    link.send(LONG, 2, 10.0)
    link.drop(2)
    assert port.cancelled == 1
    link.on_out(TransferEnd.CANCELLED, 0, 10.0)
    assert user.sent == []
    assert link.is_idle


def test_transfer_cancelled_in_its_middle_is_closed_with_an_empty_packet(link: UsbTransfers, port: Port) -> None:
    link.send(LONG, 1, 10.0)
    link.send(SHORT, None, 10.0)
    link.drop(1)
    link.on_out(TransferEnd.CANCELLED, 64, 10.0)
    assert port.written[-1] == (b"", True)
    link.on_out(TransferEnd.COMPLETED, 0, 10.0)
    assert port.written[-1] == (SHORT.data, False)


def test_transfer_that_was_taken_in_spite_of_the_cancel_counts(link: UsbTransfers, user: User) -> None:
    link.send(SHORT, 3, 10.0)
    link.drop(3)
    link.on_out(TransferEnd.CANCELLED, 9, 10.0)
    assert user.sent == [3]


@pytest.mark.parametrize("end", [TransferEnd.ERROR, TransferEnd.STALLED, TransferEnd.TIMED_OUT])
def test_dropped_transfer_that_fails_before_it_is_cancelled_is_not_sent_again(
    link: UsbTransfers, port: Port, user: User, end: TransferEnd
) -> None:
    link.send(SHORT, 3, 10.0)
    link.drop(3)
    link.send(LONG, 4, 10.0)
    link.on_out(end, 0, 10.0)
    assert [data for data, _ in port.written] == [SHORT.data, LONG.data]
    # The next one is none that was dropped.
    link.on_out(end, 0, 10.0)
    link.on_out(TransferEnd.COMPLETED, 128, 10.0)
    assert [data for data, _ in port.written] == [SHORT.data, LONG.data, LONG.data]
    assert user.sent == [4]


def test_out_transfer_that_fails_in_its_middle_begins_anew(link: UsbTransfers, port: Port, user: User) -> None:
    link.send(LONG, 1, 10.0)
    link.on_out(TransferEnd.ERROR, 64, 10.0)
    link.on_out(TransferEnd.COMPLETED, 0, 10.0)
    assert [data for data, _ in port.written] == [LONG.data, b"", LONG.data]
    assert user.troubles == ["transfer error on endpoint 04"]
    link.on_out(TransferEnd.COMPLETED, 128, 10.0)
    assert user.sent == [1]


@pytest.mark.parametrize("endpoint", [0x85, 0x86])
def test_failures_in_a_row_end_the_link_once(link: UsbTransfers, user: User, endpoint: int) -> None:
    for _ in range(MAX_FAILURES - 1):
        link.on_in(endpoint, TransferEnd.ERROR, b"")
    link.on_in(endpoint, TransferEnd.COMPLETED, STATUS)
    for _ in range(MAX_FAILURES + 3):
        link.on_in(endpoint, TransferEnd.OVERFLOW, b"")
    assert user.lost == [f"more data than a packet on endpoint {endpoint:02x}, {MAX_FAILURES} times in a row"]
    assert len(user.troubles) == 2 * (MAX_FAILURES - 1)
    assert link.is_idle


def test_out_transfer_that_only_fails_ends_the_link(link: UsbTransfers, user: User) -> None:
    link.send(SHORT, None, 10.0)
    for _ in range(MAX_FAILURES):
        link.on_out(TransferEnd.TIMED_OUT, 0, 10.0)
    assert user.lost == [f"timed out on endpoint 04, {MAX_FAILURES} times in a row"]
    link.send(SHORT, None, 10.0)
    link.on_out(TransferEnd.GONE, 0, 10.0)


@pytest.mark.parametrize("end", [TransferEnd.GONE, TransferEnd.CANCELLED])
def test_device_that_is_gone_ends_the_link(link: UsbTransfers, user: User, port: Port, end: TransferEnd) -> None:
    link.send(SHORT, 1, 10.0)
    for endpoint in (0x85, 0x86, 0x85):
        link.on_in(endpoint, end, b"")
    link.on_out(TransferEnd.GONE, 0, 10.0)
    assert user.lost == [end.value]
    assert user.sent == []
    assert port.queued == []


def test_stall_is_cleared(link: UsbTransfers, port: Port, user: User) -> None:
    link.on_in(0x85, TransferEnd.STALLED, b"")
    assert port.cleared == [0x85]
    assert port.queued == [0x85]
    port.is_gone = True
    link.on_in(0x86, TransferEnd.STALLED, b"")
    assert user.lost == ["device gone"]


def test_device_that_goes_between_two_transfers(port: Port, user: User) -> None:
    port.is_gone = True
    link = UsbTransfers(port, SLOT, user)
    link.open()
    assert user.lost == ["device gone"]
    second = UsbTransfers(port, SLOT, user)
    second.send(SHORT, None, 10.0)
    assert user.lost == ["device gone", "device gone"]


def test_device_that_takes_nothing_is_given_up(link: UsbTransfers, user: User) -> None:
    link.handle_timer(10.0)
    link.send(SHORT, None, 10.0)
    assert link.next_deadline() == 10.0 + OUT_WAIT_S
    link.handle_timer(10.0 + OUT_WAIT_S / 2)
    assert user.lost == []
    link.handle_timer(10.0 + OUT_WAIT_S)
    assert user.lost == ["the device takes no messages"]


def test_lost_while_a_message_is_handled(port: Port) -> None:
    class Leaver(User):
        def on_interrupt(self, item: bytes | StreamFault) -> None:
            left.lose("enough")
            left.lose("more than enough")

    user = Leaver()
    left = UsbTransfers(port, SLOT, user)
    left.open()
    port.queued.clear()
    left.on_in(0x86, TransferEnd.COMPLETED, STATUS)
    assert port.queued == []
    assert user.lost == ["enough"]


def test_nobody_listens_to_a_port_without_transfers() -> None:
    nobody = NobodyListens()
    nobody.on_in(0x85, TransferEnd.GONE, b"")
    nobody.on_out(TransferEnd.GONE, 0)
    nobody.on_failure("library")
