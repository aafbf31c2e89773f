# SPDX-License-Identifier: Apache-2.0
"""Secrets of a software card made for a test, and a search for them in whatever a program leaves behind."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remsim.uicc.milenage import Milenage

PIN, NEW_PIN, PUK = b"73914826", b"50937182", b"58203917"
IMSI, ICCID, MSISDN = "001017394826153", "894973518260471836", "491739482615"
KI = bytes.fromhex("9be40c5d7ff1386aa2c81b5ed3470f96")
OPC = bytes.fromhex("c1a83df60b9274e58d3ef05a67b92c14")
RAND = bytes.fromhex("e4705bb81fa96c3dd2874ef0931ac56b")
FILE_KEYS = bytes.fromhex("07a6d1f35c8e42b97016ed4aa3587fc2d9")
_AMF: Final = bytes.fromhex("8000")

#: What stands between bytes in one form or another.
_BETWEEN: Final = re.compile(r"\\x|[\s:,.\-_*]|0x")
#: So many bytes in a row are no accident.
_WINDOW: Final = 4


def challenge(sqn: int) -> bytes:
    """A good AUTHENTICATE command for the card."""
    network = Milenage(KI, OPC)
    mac, _ = network.f1_and_f1_star(RAND, sqn.to_bytes(6), _AMF)
    _, ak = network.f2_and_f5(RAND)
    autn = bytes(a ^ b for a, b in zip(sqn.to_bytes(6), ak, strict=True)) + _AMF + mac
    return bytes.fromhex("0088008122") + b"\x10" + RAND + b"\x10" + autn


def write_profile(folder: Path, shipped: Path) -> Path:
    """A profile like the shipped one, with secrets of our own."""
    text = shipped.read_text(encoding="utf-8")
    for old, new in (
        ('imsi = "001010000000001"', f'imsi = "{IMSI}"'),
        ('iccid = "890010100000000001"', f'iccid = "{ICCID}"'),
        ('msisdn = "0010100000001"', f'msisdn = "{MSISDN}"'),
        ('pin = "1234", puk = "12345678", enabled = false', f'pin = "{PIN.decode()}", puk = "{PUK.decode()}"'),
        ("465B5CE8B199B49FAA5F0A2EE238A6BC", KI.hex()),
        ("CD63CB71954A9F4E48A5994E37A02BAF", OPC.hex()),
    ):
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "secret.toml"
    path.write_text(text, encoding="utf-8")
    return path


def swapped(digits: str) -> bytes:
    """Digits as they stand on a card: two in a byte, the first in the lower half."""
    padded = digits + "f" * (len(digits) % 2)
    return bytes.fromhex("".join(padded[at + 1] + padded[at] for at in range(0, len(padded), 2)))


@dataclass(frozen=True, slots=True)
class Found:
    """A secret, in what form, and where."""

    secret: str
    form: str
    where: str

    def __str__(self) -> str:
        return f"{self.secret} as {self.form} in {self.where}"


class Hunt:
    """What is looked for: bytes in hex, digits as text, and both as they stand on a card."""

    def __init__(self, *, further: Mapping[str, bytes]) -> None:
        """``further`` are bytes that came up in the test, such as a card's answers."""
        self._needles: dict[str, str] = {}
        raw = {"PIN": PIN, "new PIN": NEW_PIN, "PUK": PUK, "KI": KI, "OPC": OPC, "RAND": RAND, "keys": FILE_KEYS}
        for name, value in (raw | dict(further)).items():
            for at in range(len(value) - _WINDOW + 1):
                self._needles[value[at : at + _WINDOW].hex()] = f"{name}, hex"
        for name, digits in {"PIN": PIN, "new PIN": NEW_PIN, "PUK": PUK}.items():
            self._needles[digits.decode()] = f"{name}, text"
            self._needles[swapped(digits.decode()).hex()] = f"{name}, swapped"
        # Those digits that may not be shown. On a card they fill whole bytes.
        for name, digits_text in (("IMSI", IMSI[5:13]), ("ICCID", ICCID[6:16]), ("MSISDN", MSISDN[2:10])):
            self._needles[digits_text] = f"{name}, text"
            self._needles[swapped(digits_text).hex()] = f"{name}, swapped"
            for at in range(len(digits_text) // 2 - _WINDOW + 1):
                part = digits_text[2 * at : 2 * (at + _WINDOW)]
                self._needles[swapped(part).hex()] = f"{name}, swapped"
                self._needles[part.encode().hex()] = f"{name}, hex of text"

    def find(self, where: str, text: str) -> Iterable[Found]:
        """The secrets in ``text``, whatever the case and whatever stands between bytes."""
        plain = _BETWEEN.sub("", text.lower())
        for needle, meaning in self._needles.items():
            if needle in plain:
                name, _, form = meaning.partition(", ")
                yield Found(name, form, where)
