# SPDX-License-Identifier: Apache-2.0
"""Devices of the kernel's USB file system for umockdev: answers the ioctls that libusb makes, with a virtual SIMtrace2.

Runs in Debian's own interpreter, which has GObject introspection. The emulated node is a regular file that polls
writable at all times, so "nothing has ended yet" is answered late, or libusb would ask without pause.
"""

import errno
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import gi

from tests.doubles.simtrace2_device import VirtualSimtrace2, packets_of

gi.require_version("UMockdev", "1.0")
from gi.repository import GLib, UMockdev  # noqa: E402

# Numbers of the ioctls (linux/usbdevice_fs.h), their lowest byte.
_SETINTERFACE, _SETCONFIGURATION, _GETDRIVER, _SUBMIT, _DISCARD, _REAP, _REAP_NOW = 4, 5, 8, 10, 11, 12, 13
_CLAIM, _RELEASE, _RESET, _CLEAR_HALT, _CAPABILITIES = 15, 16, 20, 21, 26
#: struct usbdevfs_urb with 64-bit pointers: type 0, endpoint 1, status 4, flags 8, buffer 16, length 24, actual 28.
_URB_SIZE: Final = 56
_URB: Final = struct.Struct("<BB6xI12xi")
_CONTROL: Final = 2
_ZERO_PACKET: Final = 0x40
_REAP_DELAY_MS: Final = 2
_VERSION_STRING: Final = 13


@dataclass
class Urb:
    """A transfer in progress."""

    data: UMockdev.IoctlData
    endpoint: int
    length: int
    buffer: UMockdev.IoctlData | None

    @property
    def address(self) -> int:
        """Which of the program's it is."""
        return self.data.client_addr


class UsbDevice(UMockdev.IoctlBase):
    """One device node."""

    def attach(
        self, device: VirtualSimtrace2, configurations: list[bytes], descriptor: bytes, on_out: Callable[[], None]
    ) -> None:
        """What GObject wants instead of ``__init__``. ``on_out`` is called when the host has sent something."""
        self.device = device
        self.descriptor = descriptor
        self.configurations = configurations
        self.on_out = on_out
        self.is_gone = False
        #: Endpoints that fail the next transfers so (errno).
        self.failures: dict[int, deque[int]] = {}
        self.halts_cleared = 0
        self.zero_packets = 0
        self.log: list[bytes] = []
        self._waiting: dict[int, deque[Urb]] = {}
        self._done: deque[tuple[UMockdev.IoctlClient, Urb]] = deque()
        self._reapers: list[UMockdev.IoctlClient] = []
        self._packets: dict[int, deque[bytes]] = {}
        self._claims: dict[int, UMockdev.IoctlClient] = {}
        self._owner: dict[int, UMockdev.IoctlClient] = {}

    def do_handle_ioctl(self, client: UMockdev.IoctlClient) -> bool:
        """One ioctl of the program under test."""
        number = client.get_request() & 0xFF
        if self.is_gone and number not in (_REAP, _REAP_NOW, _DISCARD):
            client.complete(-1, errno.ENODEV)
            return True
        match number:
            case 26:
                client.get_arg().resolve(0, 4).update(0, struct.pack("<I", 0x01))
                client.complete(0, 0)
            case 15:
                self._claim(client)
            case 16:
                self._claims.pop(_number(client), None)
                client.complete(0, 0)
            case 4:
                # This firmware knows no alternate settings (simtrace2.md, 1).
                client.complete(-1, errno.EPIPE)
            case 21:
                self.halts_cleared += 1
                client.complete(0, 0)
            case 5 | 20:
                client.complete(0, 0)
            case 8:
                client.complete(-1, errno.ENODATA)
            case 10:
                self._submit(client)
            case 11:
                self._discard(client)
            case 12 | 13:
                self._reap_or_wait(client)
            case _:
                client.complete(-1, errno.ENOTTY)
        return True

    def do_client_vanished(self, client: UMockdev.IoctlClient) -> None:
        """The program has closed the node, or is dead: its interfaces are free, its transfers gone."""
        self._claims = {number: owner for number, owner in self._claims.items() if owner != client}
        for queue in self._waiting.values():
            for urb in [urb for urb in queue if self._owner.get(urb.address) == client]:
                queue.remove(urb)
        self._reapers = [reaper for reaper in self._reapers if reaper != client]

    def _claim(self, client: UMockdev.IoctlClient) -> None:
        number = _number(client)
        if self._claims.setdefault(number, client) != client:
            client.complete(-1, errno.EBUSY)
        else:
            client.complete(0, 0)

    def _submit(self, client: UMockdev.IoctlClient) -> None:
        data = client.get_arg().resolve(0, _URB_SIZE)
        kind, endpoint, flags, length = _URB.unpack_from(bytes(data.retrieve()))
        urb = Urb(data, endpoint, length, data.resolve(16, length) if length else None)
        self._owner[urb.address] = client
        client.complete(0, 0)
        if kind == _CONTROL:
            self._control(urb)
        elif self.failures.get(endpoint):
            self._finish(urb, -self.failures[endpoint].popleft())
        elif endpoint & 0x80:
            self._waiting.setdefault(endpoint, deque()).append(urb)
            self.pump()
        else:
            self._out(urb, is_zero_wanted=bool(flags & _ZERO_PACKET))

    def _out(self, urb: Urb, *, is_zero_wanted: bool) -> None:
        payload = b"" if urb.buffer is None else bytes(urb.buffer.retrieve())
        has_zero_packet = is_zero_wanted and len(payload) % 64 == 0
        self.zero_packets += has_zero_packet
        self.log.append(payload)
        slot = self.device.slots[0 if urb.endpoint == 0x04 else 1]
        slot.host_out(payload, has_zero_packet=has_zero_packet)
        self._finish(urb, 0, len(payload))
        self.pump()
        self.on_out()

    def pump(self) -> None:
        """Bring what the device has to say into the waiting transfers: a short packet, or a full buffer, ends one."""
        slots = self.device.slots
        queues = {0x85: slots[0].bulk, 0x86: slots[0].interrupt}
        if len(slots) > 1:
            queues |= {0x82: slots[1].bulk, 0x83: slots[1].interrupt}
        for endpoint, waiting in self._waiting.items():
            packets = self._packets.setdefault(endpoint, deque())
            while waiting:
                if not packets and (message := queues[endpoint].take()) is not None:
                    packets.extend(packets_of(message))
                if not packets:
                    break
                packet = packets.popleft()
                self._finish(waiting.popleft(), 0, len(packet), packet)

    def inject(self, endpoint: int, packet: bytes) -> None:
        """Let the device send a packet that no firmware sends."""
        self._packets.setdefault(endpoint, deque()).append(packet)
        self.pump()

    def fail(self, endpoint: int, number: int) -> None:
        """Let the oldest waiting transfer of an endpoint end with this errno, or the next one that comes."""
        waiting = self._waiting.get(endpoint)
        if waiting:
            self._finish(waiting.popleft(), -number)
        else:
            self.failures.setdefault(endpoint, deque()).append(number)

    def _control(self, urb: Urb) -> None:
        assert urb.buffer is not None
        setup = bytes(urb.buffer.retrieve())[:8]
        _, request, value, _, length = struct.unpack("<BBHHH", setup)
        answer: bytes | None = None
        if request == 6 and value >> 8 == 1:
            answer = self.descriptor
        elif request == 6 and value >> 8 == 2 and value & 0xFF < len(self.configurations):
            answer = self.configurations[value & 0xFF]
        elif request == 6 and value == 0x0300 | _VERSION_STRING:
            text = "0.9.1".encode("utf-16-le")
            answer = bytes((len(text) + 2, 3)) + text
        elif request == 8:
            answer = b"\x01"
        if answer is None:
            self._finish(urb, -errno.EPIPE)
        else:
            self._finish(urb, 0, len(answer[:length]), answer[:length], at=8)

    def _finish(self, urb: Urb, status: int, actual: int = 0, data: bytes = b"", at: int = 0) -> None:
        if data:
            assert urb.buffer is not None
            urb.buffer.update(at, data)
        urb.data.update(4, struct.pack("<i", status))
        urb.data.update(28, struct.pack("<i", actual))
        owner = self._owner.pop(urb.address)
        self._done.append((owner, urb))
        for reaper in [reaper for reaper in self._reapers if reaper == owner]:
            self._reapers.remove(reaper)
            self._reap(reaper)

    def _reap_or_wait(self, client: UMockdev.IoctlClient) -> None:
        if any(owner == client for owner, _ in self._done):
            self._reap(client)
        elif self.is_gone:
            client.complete(-1, errno.ENODEV)
        else:
            self._reapers.append(client)
            GLib.timeout_add(_REAP_DELAY_MS, self._nothing_yet, client)

    def _reap(self, client: UMockdev.IoctlClient) -> None:
        position = next((at for at, (owner, _) in enumerate(self._done) if owner == client), None)
        if position is None:
            client.complete(-1, errno.EAGAIN)
            return
        _, urb = self._done[position]
        del self._done[position]
        client.get_arg().resolve(0, 8).set_ptr(0, urb.data)
        client.complete(0, 0)

    def _nothing_yet(self, client: UMockdev.IoctlClient) -> bool:
        if client in self._reapers:
            self._reapers.remove(client)
            client.complete(-1, errno.EAGAIN)
        return False

    def _discard(self, client: UMockdev.IoctlClient) -> None:
        (address,) = struct.unpack("<Q", bytes(client.get_arg().retrieve()))
        for queue in self._waiting.values():
            for urb in queue:
                if urb.address == address:
                    queue.remove(urb)
                    client.complete(0, 0)
                    self._finish(urb, -errno.ENOENT)
                    return
        client.complete(-1, errno.EINVAL)

    def unplug(self) -> None:
        """All transfers end, and nothing works any more."""
        self.is_gone = True
        for queue in self._waiting.values():
            while queue:
                self._finish(queue.popleft(), -errno.ESHUTDOWN)


def _number(client: UMockdev.IoctlClient) -> int:
    """The number that the ioctl's argument points to."""
    (number,) = struct.unpack("<I", bytes(client.get_arg().resolve(0, 4).retrieve()))
    return int(number)
