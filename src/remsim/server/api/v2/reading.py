# SPDX-License-Identifier: Apache-2.0
"""How requests of v2 are read: paths, bodies, cursors, durations, preconditions. All that is wrong is an ApiError."""

import base64
import binascii
import json
import re
from typing import Annotated, Final, Literal, NoReturn, TypeVar

from fastapi import Path, Query, Request
from pydantic import BaseModel, ValidationError, WithJsonSchema

from remsim.core.ids import MAX_ID, BankSlot, ClientSlot
from remsim.rest.complaints import complaint
from remsim.rest.models import CLIENT_SLOT, DURATION
from remsim.server.api.errors import ApiError, bad_request
from remsim.server.api.reading import read_body

#: Items in one answer.
MAX_PAGE: Final = 1000
_PAGE: Final = 100
_SCHEMA: Final = "see /openapi.json"

_NUMBER: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_DURATION: Final = re.compile(DURATION, re.ASCII)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: A cursor is the key of the last item, as JSON: two numbers or a short text.
_MAX_CURSOR: Final = 200

#: What items are ordered by.
Key = tuple[int | str, ...]
M = TypeVar("M", bound=BaseModel)

_ID_SCHEMA: Final = WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_ID, "examples": [1]})
#: Parts of paths stay text, so that we say ourselves what is wrong.
IdText = Annotated[str, _ID_SCHEMA, Path(description="a decimal number")]
ClientSlotPath = Annotated[
    str,
    WithJsonSchema({"type": "string", "pattern": f"^{CLIENT_SLOT}$", "examples": ["C23:0"]}),
    Path(description="a client slot"),
]
LimitText = Annotated[
    str,
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_PAGE}),
    Query(alias="limit", description="items in one answer"),
]
CursorText = Annotated[
    str | None,
    WithJsonSchema({"type": "string"}),
    Query(alias="cursor", description="the next of an answer: what follows it"),
]
DEFAULT_LIMIT: Final = str(_PAGE)
TIMEOUT_SCHEMA: Final = WithJsonSchema({"type": "string", "pattern": f"^{DURATION}$", "examples": ["30s"]})
#: What lists can be limited to.
LabelText = Annotated[
    str | None, Query(alias="label", min_length=1, max_length=64, description="only what has this label")
]
BankText = Annotated[
    str | None,
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_ID}),
    Query(alias="bank", description="only what is of this bank"),
]
LinkText = Annotated[
    Literal["connected", "absent"] | None, Query(alias="state", description="only those in this state")
]
PresenceText = Annotated[
    Literal["present", "absent", "unknown"] | None, Query(alias="state", description="only where the card is so")
]
MappingStateText = Annotated[
    Literal["stored", "sent", "active", "refused", "waiting"] | None,
    Query(alias="state", description="only those in this state"),
]


def bank_filter(text: str | None) -> int | None:
    """Read ``bank``. Raises ApiError."""
    return None if text is None else identifier(text, "bank id")


def identifier(text: str, what: str) -> int:
    """Read an id from a path. Raises ApiError."""
    if _NUMBER.fullmatch(text) is None or int(text) > MAX_ID:
        raise bad_request(f"{text!r} is no {what}", f"give a number from 0 to {MAX_ID}")
    return int(text)


def bank_slot(bank_id: str, slot_nr: str) -> BankSlot:
    """Read the two parts of a path. Raises ApiError."""
    return BankSlot(identifier(bank_id, "bank id"), identifier(slot_nr, "slot number"))


def client_slot(text: str) -> ClientSlot:
    """Read ``C7:0``. Raises ApiError."""
    if re.fullmatch(CLIENT_SLOT, text, re.ASCII) is None:
        raise bad_request(f"{text!r} is no client slot", "write it as C7:0")
    return ClientSlot.parse(text)


def page_size(text: str) -> int:
    """Read ``limit``. Raises ApiError."""
    if _NUMBER.fullmatch(text) is None or not 1 <= int(text) <= MAX_PAGE:
        raise bad_request(f"{text!r} is no limit", f"give a number from 1 to {MAX_PAGE}")
    return int(text)


def write_cursor(key: Key) -> str:
    """The cursor behind the item with this key."""
    raw = json.dumps(key, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(text: str, like: Key) -> Key:
    """The key in a cursor, with parts of the same types as in ``like``. Raises ApiError."""
    try:
        if len(text) > _MAX_CURSOR:
            raise ValueError
        value: object = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        value = None
    if isinstance(value, list) and [type(part) for part in value] == [type(part) for part in like]:
        return tuple(value)
    raise bad_request("that is no cursor of this list", "give the next of an answer, or leave it out")


def duration(text: str, what: str, *, most_s: float) -> float:
    """Read ``30s``, ``10m``, ``2h``. Raises ApiError for anything else, and above ``most_s``."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise bad_request(f"{text!r} is no {what}", "write it as 30s, 10m or 2h")
    unit = found[1]
    seconds = int(text.removesuffix(unit)) * _UNITS[unit]
    if seconds > most_s:
        raise bad_request(f"{what} {text} is too long", f"give {most_s:g}s at most")
    return seconds


def read_model(raw: bytes, model: type[M]) -> M:
    """A body as this model. Raises ApiError."""
    try:
        value: object = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is not JSON: {str(error)[:100]}", _SCHEMA) from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        said = complaint(error, model)
        raise bad_request(said.text, f"{said.hint}; {_SCHEMA}" if said.hint else _SCHEMA) from None


async def read_json(request: Request) -> bytes:
    """The body of a request that must be JSON. Raises ApiError."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        text = f"Content-Type is {content_type!r}" if content_type else "there is no Content-Type"
        raise ApiError(415, "bad_content_type", text, "send the header Content-Type: application/json")
    return await read_body(request)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def check_preconditions(request: Request, current: str | None) -> None:
    """If-Match and If-None-Match (RFC 9110, 13.1); ``current`` is the ETag of what there is. Raises ApiError."""
    wanted = request.headers.get("if-match")
    if wanted is not None and not _matches(wanted, current):
        text = "it is not what If-Match names any more" if current is not None else "there is nothing to match"
        raise ApiError(412, "changed", text, "get it again, and decide anew")
    unwanted = request.headers.get("if-none-match")
    if unwanted is not None and _matches(unwanted, current):
        raise ApiError(412, "exists", "it exists", "leave out If-None-Match to change it")


def _matches(header: str, current: str | None) -> bool:
    return current is not None and (header.strip() == "*" or current in [tag.strip() for tag in header.split(",")])
