# SPDX-License-Identifier: Apache-2.0
"""The seam between card emulation and USB: what is plugged in, and one claimed interface with its transfers.

Behind it is libusb (``libusb``), or a bus of the tests' own. Everything belongs to the event loop's thread;
``UsbListener`` is never called from within a call on the port.
"""

from abc import ABC, abstractmethod
from enum import Enum
from typing import Protocol

from remsim.emulators.simtrace2.find import DeviceInfo, Found


class TransferEnd(Enum):
    """How a transfer ended."""

    COMPLETED = "completed"
    ERROR = "transfer error"
    STALLED = "endpoint stalled"
    OVERFLOW = "more data than a packet"
    TIMED_OUT = "timed out"
    GONE = "device gone"
    CANCELLED = "cancelled"


class UsbListener(Protocol):
    """What the owner of a port is told."""

    def on_in(self, endpoint: int, end: TransferEnd, data: bytes) -> None:
        """An IN transfer ended; ``data`` is what it brought, also if it failed."""
        ...

    def on_out(self, end: TransferEnd, taken: int) -> None:
        """The OUT transfer ended; the device has taken so many bytes of it."""
        ...

    def on_failure(self, reason: str) -> None:
        """The library itself failed: nothing more will be reported."""
        ...


class NobodyListens(UsbListener):
    """For a port without transfers."""

    def on_in(self, endpoint: int, end: TransferEnd, data: bytes) -> None:
        """Nobody is told."""
        return

    def on_out(self, end: TransferEnd, taken: int) -> None:
        """Nobody is told."""
        return

    def on_failure(self, reason: str) -> None:
        """Nobody is told; what waits for something has a deadline."""
        return


class UsbPort(ABC):
    """One claimed interface."""

    @abstractmethod
    def submit_in(self, endpoint: int) -> None:
        """Queue one IN transfer of one packet (64 bytes). Several may be queued. Raises DeviceError."""

    @abstractmethod
    def submit_out(self, data: bytes, *, has_zero_packet: bool) -> None:
        """Begin the OUT transfer; the one before must have ended. Raises DeviceError."""

    @abstractmethod
    def cancel_out(self) -> None:
        """End the OUT transfer in progress, if any; ``on_out`` tells how far it has come."""

    @abstractmethod
    def clear_halt(self, endpoint: int) -> None:
        """Let an endpoint go on that has stalled. Raises DeviceError."""

    @abstractmethod
    async def read_string(self, index: int) -> str | None:
        """A string descriptor (USB 2.0, clause 9.6.7); None if the device does not give it."""

    @abstractmethod
    async def close(self) -> None:
        """End all transfers, without telling, and let go of the interface. Never raises."""


class UsbBus(ABC):
    """All of USB on this host."""

    @abstractmethod
    def devices(self) -> list[DeviceInfo]:
        """What is plugged in. Raises DeviceError, StartError if the library is missing."""

    @abstractmethod
    def open(self, found: Found, listener: UsbListener) -> UsbPort:
        """Claim an interface. Raises DeviceError if it is away, busy or not permitted."""

    @abstractmethod
    async def wait_change(self, timeout_s: float) -> None:
        """Return when something was plugged in or out, or at the deadline. It may also be another device."""
