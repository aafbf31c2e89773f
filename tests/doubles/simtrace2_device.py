# SPDX-License-Identifier: Apache-2.0
"""A virtual SIMtrace2: what the card-emulation firmware does, character by character and message by message.

Written from simtrace2.md and the captured scenarios and checked against all of them; it shares no code with the host
side of this project, so that both cannot be wrong alike. The modem's side is characters and lines, the USB side is
packets; time passes when ``expire_timer`` says so. ``violations`` lists what no host should have sent.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from tests.doubles.simtrace2_config import BOARD_KINDS, BoardKind, SlotSettings

_F: Final = (372, 372, 558, 744, 1116, 1488, 1860, 0, 0, 512, 768, 1024, 1536, 2048, 0, 0)
_D: Final = (0, 1, 2, 4, 8, 16, 32, 64, 12, 20, 0, 0, 0, 0, 0, 0)
_DEFAULT_ATR: Final = bytes.fromhex("3b8080811fc759")
_MAX_OUT: Final = 280

_HEADER_FLAG, _FINAL, _PB_AND_TX, _PB_AND_RX = 0x01, 0x02, 0x04, 0x08


def message(msg_class: int, msg_type: int, payload: bytes) -> bytes:
    """One message to the host."""
    return bytes((msg_class, msg_type, 0, 0, 0, 0)) + (8 + len(payload)).to_bytes(2, "little") + payload


def packets_of(data: bytes) -> list[bytes]:
    """How the firmware cuts a message: an empty packet ends one of 64 bytes, nothing one of 128, 192 or 256."""
    cut = [data[at : at + 64] for at in range(0, len(data), 64)]
    return [*cut, b""] if len(data) == 64 else cut


class InQueue:
    """One IN endpoint: the message offered to the controller and the three newest behind it."""

    def __init__(self) -> None:
        self._offered: bytes | None = None
        self._waiting: deque[bytes] = deque(maxlen=3)

    def push(self, data: bytes) -> None:
        """The firmware has a message; the oldest that waits is lost if there are too many."""
        if self._offered is None:
            self._offered = data
        else:
            self._waiting.append(data)

    def take(self) -> bytes | None:
        """The host reads one whole message."""
        taken = self._offered
        self._offered = self._waiting.popleft() if self._waiting else None
        return taken


class CardState(Enum):
    """The firmware's card."""

    WAIT_RESET = "no VCC, or RST asserted"
    ATR_DELAY = "waits before the ATR"
    ATR = "sends the ATR"
    WAIT_COMMAND = "waits for CLA or PPSS"
    PPS_REQUEST = "collects a PPS request"
    PPS_RESPONSE = "sends the PPS response"
    HEADER = "collects a header"
    WAIT_HOST = "waits for a procedure byte or more"
    RECEIVE = "collects command data"


@dataclass(slots=True)
class _Tx:
    """A TX_DATA message that is being sent."""

    flags: int
    data: bytes
    position: int = 0


@dataclass
class Slot:
    """One emulator slot: the interface on USB and the card on the modem's lines."""

    kind: BoardKind
    #: Levels at the start of the firmware, before SIM_SELECT.
    vcc: bool = False
    rst: bool = False
    millivolt: int = 0
    bulk: InQueue = field(default_factory=InQueue)
    interrupt: InQueue = field(default_factory=InQueue)
    #: What the board did: (what, value).
    board_events: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    #: The firmware loops until its watchdog restarts it.
    is_hung: bool = False

    def __post_init__(self) -> None:
        self.settings = SlotSettings(self.kind)
        self.is_enabled = False
        self.atr = _DEFAULT_ATR
        self._vcc_seen = self._clk_seen = self.vcc
        self._rst_seen = self.rst
        self._out = b""
        self.state = CardState.WAIT_RESET
        self._queue: deque[_Tx] = deque()
        self._in = bytearray()
        self._sending = b""
        self._pps = b""
        self._p3 = 0
        self._ins = 0
        self._etus_to_atr = 0
        self.clocks_per_etu = 372
        self._set_speed(1, 1, 10)

    # Speed and waiting time

    def _set_speed(self, f_index: int, d_index: int, wi: int) -> None:
        self._f, self._d, self._wi = f_index, d_index, wi
        self.waiting_time = wi * 960 * (_D[d_index] or 1)
        fi, di = _F[f_index], _D[d_index]
        if fi and di and 1 <= fi // di <= 2047:
            self.clocks_per_etu = fi // di

    def _status(self) -> bytes:
        flags = self._vcc_seen * 0x01 | self._clk_seen * 0x02 | (not self._rst_seen) * 0x10
        volts = max(0, self.millivolt - 1) if self.kind.measures_voltage else 0
        payload = flags.to_bytes(4, "little") + volts.to_bytes(2, "little") + bytes((self._f, self._d, self._wi))
        return message(1, 4, payload + self.waiting_time.to_bytes(4, "little"))

    def _report_lines(self) -> None:
        if self.settings.features & 1:
            self.interrupt.push(self._status())

    # Lines

    def set_vcc(self, *, is_on: bool, millivolt: int | None = None) -> None:
        """The modem switches VCC."""
        self.vcc = is_on
        self.millivolt = millivolt if millivolt is not None else 3000 * is_on
        self._poll_vcc()

    def set_rst(self, *, is_high: bool) -> None:
        """The modem moves RST; low holds the card in reset."""
        self.rst = is_high
        if self.is_enabled and is_high is not self._rst_seen:
            self._rst_seen = is_high
            self._follow_lines()
            self._report_lines()

    def _poll_vcc(self) -> None:
        threshold = 2500 if self.kind.measures_voltage else 1
        if self.is_enabled:
            self._see_vcc(is_on=self.vcc and self.millivolt >= threshold)

    def _see_vcc(self, *, is_on: bool) -> None:
        if is_on is self._vcc_seen:
            return
        self._vcc_seen = is_on
        self._follow_lines()
        self._report_lines()
        # Not measured: CLK follows one message later.
        self._clk_seen = is_on
        self._report_lines()

    def _follow_lines(self) -> None:
        self._queue.clear()
        self._in.clear()
        self._sending = b""
        if not (self._vcc_seen and self._rst_seen):
            self.state = CardState.WAIT_RESET
            return
        self.state = CardState.ATR_DELAY
        self._etus_to_atr = 2
        self.clocks_per_etu = 372
        self._set_speed(1, 1, _tc2(self.atr) or 10)

    # Time

    @property
    def timer_etu(self) -> int:
        """What the UART timer is set to, 0 if it does not run."""
        if self.state is CardState.ATR_DELAY:
            return 1
        if self.state is CardState.WAIT_HOST and not self.has_to_send:
            return self.waiting_time // 2
        return 0

    @property
    def has_to_send(self) -> bool:
        """Whether characters are due, or will be in the state that wants them."""
        return bool(self._sending or self._queue)

    def expire_timer(self) -> int:
        """Let the UART timer expire; return what it was set to, 0 if it did not run."""
        etu = self.timer_etu
        if self.state is CardState.ATR_DELAY:
            self._etus_to_atr -= 1
            if not self._etus_to_atr:
                self.state = CardState.ATR
                self._sending = self.atr
        elif etu:
            self._sending = b"\x60"
        return etu

    # The modem's characters

    def receive(self, character: int) -> None:
        """One character from the modem. What comes while the card should speak is lost."""
        if self.state is CardState.WAIT_COMMAND:
            self.state = CardState.PPS_REQUEST if character == 0xFF else CardState.HEADER
            self._in.clear()
        if self.state is CardState.PPS_REQUEST:
            self._in.append(character)
            self._check_pps()
        elif self.state is CardState.HEADER:
            self._in.append(character)
            if len(self._in) == 5:
                self._ins, self._p3 = self._in[1], self._in[4]
                self._report_data(_HEADER_FLAG)
        elif self.state is CardState.RECEIVE:
            self._in.append(character)
            if len(self._in) >= self._p3:
                self._report_data(_FINAL)

    def _report_data(self, flags: int) -> None:
        data = bytes(self._in)
        self._in.clear()
        self.bulk.push(message(1, 6, flags.to_bytes(4, "little") + len(data).to_bytes(2, "little") + data))
        self.state = CardState.WAIT_HOST

    def _check_pps(self) -> None:
        if len(self._in) < 2 or len(self._in) < 3 + (self._in[1] >> 4 & 7).bit_count():
            return
        request, check = bytes(self._in), 0
        self._in.clear()
        for value in request:
            check ^= value
        if check:
            self.state = CardState.WAIT_COMMAND
            return
        both = request.ljust(6, b"\0") * 2
        self.bulk.push(message(1, 7, bytes((len(request),)) + both))
        self.state = CardState.PPS_RESPONSE
        self._sending = self._pps = request

    def transmit(self) -> int | None:
        """The next character to the modem, None if the card is quiet."""
        if self._sending:
            character, self._sending = self._sending[0], self._sending[1:]
            if not self._sending:
                self._sent_own()
            return character
        if self.state is not CardState.WAIT_HOST or not self._queue:
            return None
        return self._transmit_host()

    def _sent_own(self) -> None:
        if self.state is CardState.PPS_RESPONSE and self._pps[1] & 0x10:
            self._set_speed(self._pps[2] >> 4, self._pps[2] & 0x0F, self._wi)
        if self.state in (CardState.ATR, CardState.PPS_RESPONSE):
            self.state = CardState.WAIT_COMMAND

    def _transmit_host(self) -> int:
        tx = self._queue[0]
        character = tx.data[tx.position]
        tx.position += 1
        if tx.flags & _PB_AND_RX:
            self._check_acknowledge(tx)
            self._queue.popleft()
            self.state = CardState.RECEIVE
        elif tx.position == len(tx.data):
            self._queue.popleft()
            if tx.flags & _FINAL:
                self.state = CardState.WAIT_COMMAND
        return character

    def _check_acknowledge(self, tx: _Tx) -> None:
        if len(tx.data) != 1:
            self.violations.append("acknowledge with more than one byte")
        if not self._p3:
            self.violations.append("asked for data although P3 is 00")
        if tx.data[0] != self._ins:
            self.violations.append("acknowledge that is not INS")

    # USB

    def host_out(self, data: bytes, *, has_zero_packet: bool = False) -> None:
        """Bulk OUT packets. The device acts on them when a short packet ends the transfer."""
        self._out += data
        is_ended = len(data) % 64 != 0 or has_zero_packet or not data
        if is_ended or len(self._out) >= _MAX_OUT:
            buffer, self._out = self._out, b""
            self._act(buffer)

    def _act(self, buffer: bytes) -> None:
        while buffer and not self.is_hung:
            length = int.from_bytes(buffer[6:8], "little")
            if length < 8:
                self.is_hung = True
                self.violations.append("length below 8: the firmware loops")
            elif length > len(buffer):
                return
            else:
                self._on_message(buffer[0], buffer[1], buffer[8:length])
                buffer = buffer[length:]

    def _on_message(self, msg_class: int, msg_type: int, payload: bytes) -> None:
        match msg_class, msg_type:
            case 1, 1:
                self._on_tx_data(payload)
            case 1, 2 if payload and payload[0] <= 33:
                self.atr = payload[1 : 1 + payload[0]]
            case 1, 4:
                self.bulk.push(self._status())
            case 1, 5 if self.kind.has_presence:
                self.board_events.append(("presence_pin", str(self.settings.presence_level(payload[0]))))
            case 1, 8:
                self.bulk.push(message(1, 8, self.settings.configure(payload)))
            case 2, 1 if self.kind.has_modem_reset and len(payload) == 3:
                shown = payload if payload[0] == 2 else payload[:1]
                self.board_events.append(("modem_reset", shown.hex()))
            case 2, 2:
                self._select(is_remote=bool(payload[0]))

    def _on_tx_data(self, payload: bytes) -> None:
        flags, data = int.from_bytes(payload[:4], "little"), payload[6:]
        if self.state in (CardState.WAIT_RESET, CardState.ATR_DELAY, CardState.ATR):
            return
        if not data:
            self.violations.append("TX_DATA without data")
            return
        if self.state is not CardState.WAIT_HOST:
            self.violations.append("TX_DATA while no command waits for it")
        self._queue.append(_Tx(flags, data))

    def _select(self, *, is_remote: bool) -> None:
        self.board_events.append(("sim_switch", "remote" if is_remote else "local"))
        if not is_remote:
            if self.is_enabled:
                self._see_vcc(is_on=False)
            self.is_enabled = False
        elif not self.is_enabled:
            self.is_enabled = True
            if self._vcc_seen and self._rst_seen:
                self._follow_lines()
            self._poll_vcc()


def _tc2(atr: bytes) -> int:
    """TC2 of an ATR, 0 if absent."""
    position, announced = 2, atr[1] >> 4 if len(atr) > 1 else 0
    position += (announced & 7).bit_count()
    if not announced & 8 or position >= len(atr):
        return 0
    second = atr[position] >> 4
    at = position + 1 + (second & 3).bit_count()
    return atr[at] if second & 4 and at < len(atr) else 0


class VirtualSimtrace2:
    """A USB device with one or two slots."""

    def __init__(self, board: str = "simtrace", *, is_powered_at_boot: bool = False) -> None:
        """``board`` is one of the names in the captured scenarios."""
        self.kind = BOARD_KINDS[board]
        self._is_powered_at_boot = is_powered_at_boot
        self.slots: list[Slot] = []
        self.restart()

    def restart(self) -> None:
        """What an unplug, a USB reset or the watchdog does: everything is forgotten, the modem's lines stay."""
        lines = [(slot.vcc, slot.rst, slot.millivolt) for slot in self.slots]
        if not lines:
            level = self._is_powered_at_boot
            lines = [(level, level, 3000 * level)] * self.kind.slots
        self.slots = [Slot(self.kind, *line) for line in lines]
