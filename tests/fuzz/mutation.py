# SPDX-License-Identifier: Apache-2.0
"""Damage: to bytes, to the BER in them, to the order of frames, and to the way they are sent.

Everything is drawn from the ``Random`` that is handed in, so the same seed gives the same conversation.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from tests.fuzz.script import End, Step

#: Values that are borders of something: length forms, tags, ends of ranges.
_BORDERS: Final = (0x00, 0x01, 0x02, 0x1F, 0x30, 0x3F, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xA2, 0xAC, 0xBF, 0xEE, 0xFE, 0xFF)
#: IPA header and extension byte; the PDU stands behind it.
_HEADER: Final = 4
_PING, _ID_GET = b"\0\1\xfe\0", b"\0\3\xfe\4\1\10"
_MOST_REPEATS: Final = 40
_MOST_PIECES: Final = 6


def mutate(steps: list[Step], donor: Callable[[], list[Step]], rng: Random) -> list[Step]:
    """``steps`` with one to four damages; ``donor`` gives another conversation to take frames from."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        spoken = [index for index, step in enumerate(steps) if step]
        if not spoken:
            return donor()
        at = rng.choice(spoken)
        raw = steps[at]
        assert raw is not None
        if rng.random() < 0.6:
            steps[at : at + 1] = [damage(raw, rng)]
        else:
            rng.choice(_ORDERS)(steps, at, rng)
        if rng.random() < 0.1:
            steps[at:at] = _spoken(donor(), rng)
    return steps


def ending(rng: Random) -> End:
    """How to hang up."""
    return rng.choices((End.CLOSE, End.RESET, End.HALF), (6, 2, 2))[0]


def damage(raw: bytes, rng: Random) -> bytes:
    """One damage within a frame. Half of them leave the frame's length right, or nothing behind it would be read."""
    damaged = rng.choice((_flip, _set, _delete, _insert, _cut, _repeat, _length, _number))(raw, rng)
    if len(damaged) > _HEADER and rng.random() < 0.6:
        size = len(damaged) - 3
        damaged = bytes(((size >> 8) & 0xFF, size & 0xFF)) + damaged[2:]
    return damaged


def _at(raw: bytes, rng: Random) -> int:
    # The header is short and everything hangs on it; most damages belong behind it.
    if len(raw) <= _HEADER or rng.random() < 0.1:
        return rng.randrange(max(1, min(_HEADER, len(raw))))
    return rng.randrange(_HEADER, len(raw))


def _flip(raw: bytes, rng: Random) -> bytes:
    at = _at(raw, rng)
    return raw[:at] + bytes((raw[at] ^ 1 << rng.randrange(8),)) + raw[at + 1 :] if raw else b""


def _set(raw: bytes, rng: Random) -> bytes:
    at = _at(raw, rng)
    return raw[:at] + bytes((rng.choice(_BORDERS),)) + raw[at + 1 :]


def _delete(raw: bytes, rng: Random) -> bytes:
    at = _at(raw, rng)
    return raw[:at] + raw[at + rng.randint(1, 4) :]


def _insert(raw: bytes, rng: Random) -> bytes:
    at = _at(raw, rng)
    return raw[:at] + rng.randbytes(rng.choice((1, 1, 2, 3, 8, 200))) + raw[at:]


def _cut(raw: bytes, rng: Random) -> bytes:
    return raw[: _at(raw, rng)]


def _repeat(raw: bytes, rng: Random) -> bytes:
    at = _at(raw, rng)
    piece = raw[at : at + rng.randint(1, 12)]
    return raw[:at] + piece * rng.choice((2, 2, 3, 100)) + raw[at:]


def _elements(raw: bytes) -> list[int]:
    """Where a BER element may begin: the places that a walk through definite lengths below 128 finds."""
    found: list[int] = []
    at = _HEADER
    while at + 1 < len(raw):
        found.append(at)
        identifier, length = raw[at], raw[at + 1]
        head = 2 if length < 0x80 else 2 + (length & 0x7F)
        at += head if identifier & 0x20 else head + (length if length < 0x80 else 0)
    return found


def _length(raw: bytes, rng: Random) -> bytes:
    """Another length of an element, or the same in another form."""
    places = _elements(raw)
    if not places:
        return _flip(raw, rng)
    at = rng.choice(places) + 1
    old = raw[at]
    new = rng.choice(
        (
            bytes(((old + rng.choice((-2, -1, 1, 2))) & 0xFF,)),
            bytes((0x81, old)),
            bytes((0x82, 0, old)),
            bytes((0x84, 0xFF, 0xFF, 0xFF, 0xFF)),
            b"\x80",
            b"\x00",
            b"\xff",
        )
    )
    return raw[:at] + new + raw[at + 1 :]


def _number(raw: bytes, rng: Random) -> bytes:
    """Another value in a short element, its length kept: another id, tag, version, result or flag."""
    places = [at for at in _elements(raw) if not raw[at] & 0x20 and 1 <= raw[at + 1] <= 4]
    if not places:
        return _set(raw, rng)
    at = rng.choice(places)
    size = raw[at + 1]
    value = rng.choice((0, 1, 127, 128, 255, 256, 1000, 1023, 1024, 65535, 65537, 2**31 - 1, 2**31))
    bytes_of_value = value.to_bytes(8, "big")[-size:]
    return raw[: at + 2] + bytes_of_value + raw[at + 2 + size :]


def _drop(steps: list[Step], at: int, _rng: Random) -> None:
    del steps[at]


def _double(steps: list[Step], at: int, rng: Random) -> None:
    steps[at:at] = [steps[at]] * rng.choice((1, 1, 2, _MOST_REPEATS))


def _swap(steps: list[Step], at: int, rng: Random) -> None:
    other = rng.randrange(len(steps))
    steps[at], steps[other] = steps[other], steps[at]


def _hurry(steps: list[Step], _at_: int, _rng: Random) -> None:
    """Send everything in one go, without waiting for anything."""
    steps[:] = [b"".join(step for step in steps if step)]


def _dribble(steps: list[Step], at: int, rng: Random) -> None:
    """Send a frame in pieces; a wait between them lets them arrive apart."""
    raw = steps[at] or b""
    cuts = sorted(rng.randrange(len(raw)) for _ in range(rng.randint(1, _MOST_PIECES))) if raw else []
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    steps[at : at + 1] = [step for piece in pieces for step in (piece, None)]


def _stop(steps: list[Step], at: int, _rng: Random) -> None:
    del steps[at + 1 :]


def _ask(steps: list[Step], at: int, rng: Random) -> None:
    """CCM between the frames."""
    steps[at:at] = [rng.choice((_PING, _ID_GET, _PING * _MOST_REPEATS, b"\0\1\xfe\1", b"\0\2\xfe\4\1"))]


def _noise(steps: list[Step], at: int, rng: Random) -> None:
    steps[at:at] = [rng.choice((rng.randbytes(rng.randint(1, 300)), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\2\0\1"))]


_ORDERS: Final = (_drop, _double, _swap, _hurry, _dribble, _stop, _ask, _noise)


def _spoken(steps: list[Step], rng: Random) -> list[Step]:
    spoken = [step for step in steps if step]
    return [rng.choice(spoken)] if spoken else []


def damage_text(raw: bytes, rng: Random) -> bytes:
    """One damage to a request in HTTP."""
    at = rng.randrange(len(raw) + 1)
    return rng.choice(
        (
            raw[:at] + rng.randbytes(rng.randint(1, 4)) + raw[at:],
            raw[:at] + raw[at + rng.randint(1, 8) :],
            raw[:at],
            raw[:at] + rng.choice((b"\r\n", b"%00", b"//", b"..", b"\xff\xfe", b": ", b"\0", b"9" * 30)) + raw[at:],
        )
    )
