# SPDX-License-Identifier: Apache-2.0
"""What a card remembers without power: PINs and their counters, SEQ numbers, files that were written.

Only differences from the profile are kept. ``revision`` grows with every change, so that the code that stores it sees
when there is something to store. The text form is JSON; secrets of a test card are in it in clear.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from remsim.uicc.errors import StateError
from remsim.uicc.files import Ef, EfKind
from remsim.uicc.profile.model import Profile

_FORMAT: Final = 1


@dataclass(slots=True)
class PinState:
    """One PIN as it stands."""

    pin: bytes
    puk: bytes
    tries: int
    puk_tries: int
    is_enabled: bool


@dataclass(slots=True)
class UiccState:
    """The persistent state of one card made from a profile."""

    profile: str
    pins: dict[int, PinState]
    #: SEQ by IND (3GPP TS 33.102, C.2.2); an IND not listed stands at ``AuthSpec.seq``.
    seqs: dict[int, int] = field(default_factory=dict)
    #: Contents by content key, for files written at least once.
    files: dict[str, bytes] = field(default_factory=dict)
    #: All data objects of BER-TLV files written at least once, by content key and tag.
    objects: dict[str, dict[int, bytes]] = field(default_factory=dict)
    #: Content keys of deactivated files.
    deactivated: set[str] = field(default_factory=set)
    revision: int = 0

    @classmethod
    def fresh(cls, profile: Profile) -> Self:
        """A card that was never used."""
        pins = {
            reference: PinState(spec.pin, spec.puk, spec.tries, spec.puk_tries, spec.is_enabled)
            for reference, spec in profile.pins.items()
        }
        return cls(profile.name, pins)

    def changed(self) -> None:
        """Note that something persistent has changed."""
        self.revision += 1

    def to_bytes(self) -> bytes:
        """The state as JSON text."""
        return json.dumps(
            {
                "format": _FORMAT,
                "profile": self.profile,
                "pins": {
                    f"{reference:02X}": {
                        "pin": pin.pin.hex(),
                        "puk": pin.puk.hex(),
                        "tries": pin.tries,
                        "puk_tries": pin.puk_tries,
                        "enabled": pin.is_enabled,
                    }
                    for reference, pin in self.pins.items()
                },
                "seqs": {str(ind): seq for ind, seq in self.seqs.items()},
                "files": {key: content.hex() for key, content in self.files.items()},
                "objects": {
                    key: {f"{tag:X}": value.hex() for tag, value in objects.items()}
                    for key, objects in self.objects.items()
                },
                "deactivated": sorted(self.deactivated),
            },
            indent=1,
        ).encode()

    @classmethod
    def from_bytes(cls, raw: bytes, profile: Profile) -> Self:
        """Read a stored state of a card of ``profile``. Raises StateError if it is damaged or does not fit."""
        try:
            values: object = json.loads(raw)
            return cls._from_values(_table(values), profile)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StateError(f"stored card state is damaged: {error}") from error

    @classmethod
    def _from_values(cls, values: Mapping[str, object], profile: Profile) -> Self:
        if values["format"] != _FORMAT or values["profile"] != profile.name:
            raise StateError(f"stored card state is of profile {values['profile']!r}, not {profile.name!r}")
        state = cls.fresh(profile)
        for reference, entry in _table(values["pins"]).items():
            pin = _table(entry)
            state.pins[int(reference, 16)] = PinState(
                _bytes(pin["pin"]),
                _bytes(pin["puk"]),
                _number(pin["tries"]),
                _number(pin["puk_tries"]),
                bool(pin["enabled"]),
            )
        state.seqs = {int(ind): _number(seq) for ind, seq in _table(values["seqs"]).items()}
        by_key = {ef.key: ef for ef in profile.files.efs.values()}
        for key, content in _table(values["files"]).items():
            state.files[key] = _fitting(by_key[key], _bytes(content))
        for key, objects in _table(values["objects"]).items():
            if by_key[key].kind is not EfKind.BER_TLV:
                raise ValueError(f"file {key} holds no data objects")
            state.objects[key] = {int(tag, 16): _bytes(value) for tag, value in _table(objects).items()}
        deactivated = values["deactivated"]
        if not isinstance(deactivated, list):
            raise TypeError("'deactivated' is not an array")
        state.deactivated = {by_key[key].key for key in deactivated}
        return state


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError("an object is missing")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError("a string is missing")
    return bytes.fromhex(value)


def _number(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError("a number is missing")
    return value


def _fitting(ef: Ef, content: bytes) -> bytes:
    if len(content) != ef.size:
        raise ValueError(f"file {ef.key} has {len(content)} bytes instead of {ef.size}")
    return content
