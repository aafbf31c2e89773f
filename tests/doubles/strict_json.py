# SPDX-License-Identifier: Apache-2.0
"""A decoder of REST v1 that knows what the C server gives and refuses everything else, as some back-ends have one.

Made from the reference of the classic interface, not from our own shapes: what is missing, of another type or unknown
is a StrictError.
"""

import json
import re
from collections.abc import Callable
from typing import Final

Shape = Callable[[object, str], None]


class StrictError(ValueError):
    """The document is not what v1 has."""


def _text(*allowed: str) -> Shape:
    def check(value: object, where: str) -> None:
        if not isinstance(value, str) or (allowed and value not in allowed):
            raise StrictError(f"{where}: {value!r}")

    return check


def _pattern(form: str) -> Shape:
    def check(value: object, where: str) -> None:
        if not isinstance(value, str) or re.fullmatch(form, value, re.ASCII) is None:
            raise StrictError(f"{where}: {value!r}")

    return check


def _number(most: int) -> Shape:
    def check(value: object, where: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise StrictError(f"{where}: {value!r}")

    return check


def _object(required: dict[str, Shape], optional: dict[str, Shape] | None = None) -> Shape:
    known = required | (optional or {})

    def check(value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise StrictError(f"{where}: no object")
        if missing := required.keys() - value.keys():
            raise StrictError(f"{where}: without {sorted(missing)}")
        if unknown := value.keys() - known.keys():
            raise StrictError(f"{where}: unknown {sorted(unknown)}")
        for name, member in value.items():
            known[name](member, f"{where}.{name}")

    return check


def _array(item: Shape) -> Shape:
    def check(value: object, where: str) -> None:
        if not isinstance(value, list):
            raise StrictError(f"{where}: no array")
        for index, member in enumerate(value):
            item(member, f"{where}[{index}]")

    return check


_COMPONENT: Final = _object(
    {
        "type_": _text("remsimClient", "remsimServer", "remsimBankd"),
        "name": _text(),
        "software": _text(),
        "swVersion": _text(),
    },
    {name: _text() for name in ("hwManufacturer", "hwSerialNr", "hwVersion", "fwVersion")},
)
CLIENT: Final = _object(
    {"peer": _pattern(r"C[0-9]+:[0-9]+"), "state": _text("CONNECTED_CLIENT"), "component_id": _COMPONENT}
)
BANK: Final = _object(
    {
        "peer": _pattern("B[0-9]+"),
        "state": _text("CONNECTED_BANKD"),
        "component_id": _COMPONENT,
        "bankId": _number(1023),
        "numberOfSlots": _number(1023),
    }
)
MAPPING: Final = _object(
    {
        "bank": _object({"bankId": _number(1023), "slotNr": _number(1023)}),
        "client": _object({"clientId": _number(1023), "slotNr": _number(1023)}),
        "state": _text("NEW", "UNACKNOWLEDGED", "ACTIVE"),
    }
)
#: By the last part of the path, of lists and of single objects.
LISTS: Final = {
    "clients": _object({"clients": _array(CLIENT)}),
    "banks": _object({"banks": _array(BANK)}),
    "slotmaps": _object({"slotmaps": _array(MAPPING)}),
}
SINGLE: Final = {"clients": CLIENT, "banks": BANK, "slotmaps": MAPPING}


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictError(f"a member twice: {[name for name, _ in pairs]}")
    return found


def decode(path: str, content: bytes) -> dict[str, object]:
    """The object in the answer to GET ``path``. Raises StrictError."""
    parts = path.rstrip("/").removeprefix("/api/backend/v1/").split("/")
    value = json.loads(content, object_pairs_hook=_members)
    (LISTS if len(parts) == 1 else SINGLE)[parts[0]](value, path)
    assert isinstance(value, dict)
    return value
