# SPDX-License-Identifier: Apache-2.0
"""A virtual modem: a T=0 terminal that powers a card, reads its ATR, negotiates the speed and exchanges TPDUs.

Its procedures are generators that yield what they do to the card's lines and get characters back, so the same modem
runs in a test without time and in front of a device in another process. It is as strict as a modem: it counts bytes,
knows the procedure bytes of ISO/IEC 7816-3, clause 10.3.3, and gives up when the waiting time passes in silence.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, TypeVar

from remsim.card.atr import Atr, parse_atr
from remsim.card.pps import DEFAULT_SPEED, Pps, Speed, parse_pps, pps_length

#: Clause 8.1: the ATR begins 400 to 40000 clock cycles after RST; WI = 10 and F = 372 until the ATR says otherwise.
_ATR_WAIT_ETU: Final = 9600
_NULL: Final = 0x60


def is_accepted(request: Pps, response: Pps) -> bool:
    """Whether ``response`` is a success for ``request`` (ISO/IEC 7816-3, 9.3): an echo, PPS1..PPS3 absent or equal."""
    if response.protocol != request.protocol:
        return False
    pairs = ((response.pps1, request.pps1), (response.pps2, request.pps2), (response.pps3, request.pps3))
    return all(answered is None or answered == asked for answered, asked in pairs)


class ModemError(Exception):
    """The card did what no card may do."""


class SilenceError(ModemError):
    """The waiting time passed without a character."""


@dataclass(frozen=True, slots=True)
class SetLines:
    """Drive VCC and RST; the card answers to what changed."""

    vcc: bool
    rst: bool


@dataclass(frozen=True, slots=True)
class Put:
    """Send one character to the card."""

    character: int


@dataclass(frozen=True, slots=True)
class Get:
    """Take one character from the card; None if it is quiet for so long."""

    wait_etu: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for a while."""

    duration_s: float


Op = SetLines | Put | Get | Pause
_T = TypeVar("_T")
Procedure = Generator[Op, int | None, _T]


class VirtualModem:
    """One modem. ``fastest`` is the TA1 up to which it follows a card's offer; None: it never sends a PPS."""

    def __init__(self, *, fastest: int | None = 0x96, patience: int = 50) -> None:
        self._fastest = fastest
        #: NULL bytes in a row after which a modem loses patience although the card is alive.
        self._patience = patience
        self.atr: Atr | None = None
        self.speed: Speed = DEFAULT_SPEED
        self.nulls = 0
        self.waiting_time_etu = _ATR_WAIT_ETU

    # Reset

    def cold_reset(self) -> Procedure[bytes]:
        """Take VCC away and give it back, read the ATR, negotiate; return the ATR."""
        yield SetLines(vcc=True, rst=False)
        yield SetLines(vcc=False, rst=False)
        yield Pause(0.02)
        yield SetLines(vcc=True, rst=False)
        yield Pause(0.001)
        return (yield from self._release_rst())

    def warm_reset(self) -> Procedure[bytes]:
        """Pulse RST with VCC kept, read the ATR, negotiate; return the ATR."""
        yield SetLines(vcc=True, rst=False)
        yield Pause(0.001)
        return (yield from self._release_rst())

    def power_off(self) -> Procedure[None]:
        """RST, then VCC."""
        yield SetLines(vcc=True, rst=False)
        yield SetLines(vcc=False, rst=False)
        yield Pause(0.001)

    def pause(self, duration_s: float) -> Procedure[None]:
        """Leave the card alone."""
        yield Pause(duration_s)

    def _release_rst(self) -> Procedure[bytes]:
        self.speed = DEFAULT_SPEED
        self.waiting_time_etu = _ATR_WAIT_ETU
        yield SetLines(vcc=True, rst=True)
        raw = bytearray()
        while len(raw) < _atr_length(raw):
            raw.append((yield from self._get()))
        self.atr = parse_atr(bytes(raw))
        self._set_waiting_time()
        offered = self.atr.interface.get("TA1")
        if offered is not None and self._fastest is not None and self.atr.specific_protocol is None:
            yield from self.negotiate(min(offered, self._fastest))
        return bytes(raw)

    def _set_waiting_time(self) -> None:
        wi = self.atr.interface.get("TC2", 10) if self.atr is not None else 10
        # Clause 10.2: WT = WI × 960 × D etu.
        self.waiting_time_etu = wi * 960 * (self.speed.di or 1)

    def negotiate(self, pps1: int | None) -> Procedure[Pps]:
        """Ask for T=0 and, if given, for a speed; return the answer."""
        request = Pps(0, pps1)
        yield from self._put(request.to_bytes())
        raw = bytearray()
        while len(raw) < 2 or len(raw) < pps_length(bytes(raw)):
            raw.append((yield from self._get()))
        response = parse_pps(bytes(raw))
        if not is_accepted(request, response):
            raise ModemError(f"PPS {request.to_bytes().hex()} is answered {raw.hex()}")
        self.speed = response.speed or self.speed
        self._set_waiting_time()
        return response

    # Commands

    def exchange(self, tpdu: bytes) -> Procedure[bytes]:
        """One command: header, data if any; return data, SW1, SW2."""
        ins, p3 = tpdu[1], tpdu[4]
        to_send = tpdu[5:]
        expected = 0 if to_send else p3 or 256
        received = bytearray()
        yield from self._put(tpdu[:5])
        nulls = 0
        while True:
            procedure = yield from self._get()
            if procedure == _NULL:
                self.nulls += 1
                nulls += 1
                if nulls > self._patience:
                    raise SilenceError(f"{nulls} NULL bytes and no answer")
                continue
            nulls = 0
            if procedure >> 4 in (0x6, 0x9) and procedure != ins:
                return bytes((*received, procedure, (yield from self._get())))
            if procedure not in (ins, ins ^ 0xFF):
                raise ModemError(f"procedure byte {procedure:02x} for INS {ins:02x}")
            count = 1 if procedure != ins else max(len(to_send), expected - len(received))
            if to_send:
                yield from self._put(to_send[:count])
                to_send = to_send[count:]
            elif len(received) + count > expected or not expected:
                raise ModemError(f"acknowledge {procedure:02x} when all bytes have passed")
            else:
                for _ in range(count):
                    received.append((yield from self._get()))

    def command(self, tpdu: bytes) -> Procedure[bytes]:
        """Like ``exchange``, and do what the status word asks for: GET RESPONSE, or the right length."""
        answer = yield from self.exchange(tpdu)
        sw1, sw2 = answer[-2:]
        if sw1 == 0x6C:
            return (yield from self.exchange(tpdu[:4] + bytes((sw2,))))
        if sw1 in (0x61, 0x9F):
            return (yield from self.exchange(bytes((tpdu[0], 0xC0, 0, 0, sw2))))
        return answer

    def _put(self, data: bytes) -> Procedure[None]:
        for character in data:
            yield Put(character)

    def _get(self) -> Procedure[int]:
        character = yield Get(self.waiting_time_etu)
        if character is None:
            raise SilenceError(f"no character for {self.waiting_time_etu} etu")
        return character


def _atr_length(raw: bytes | bytearray) -> int:
    """How long the ATR that begins so will be, or at least."""
    if len(raw) < 2:
        return 2
    position, announced, has_tck = 2, raw[1] >> 4, False
    while announced:
        at = position + (announced & 7).bit_count()
        if not announced & 8:
            position = at
            break
        if at >= len(raw):
            return at + 1
        has_tck |= raw[at] & 0x0F != 0
        announced = raw[at] >> 4
        position = at + 1
    return position + (raw[1] & 0x0F) + has_tck
