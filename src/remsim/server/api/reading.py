# SPDX-License-Identifier: Apache-2.0
"""How strictly requests are read: numbers in paths, and JSON bodies. Everything wrong is an ApiError 400 (or 413)."""

import json
import re
from typing import Annotated, Final, NoReturn

from fastapi import Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from starlette.requests import ClientDisconnect

from remsim.core.ids import MAX_ID, BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.server.api.errors import ApiError, bad_request, is_of_v2
from remsim.server.api.limits import MAX_BODY_BYTES

#: rsres.md, 2.3: numbers of banks and clients above this are malformed rather than unknown.
MAX_SHORT: Final = 0xFFFF
#: rsres.md, 4: numbers of mappings above this are.
MAX_LONG: Final = (1 << 64) - 1

_DECIMAL: Final = re.compile(r"[0-9]{1,20}", re.ASCII)

#: Numbers in a path, up to ``MAX_SHORT`` and ``MAX_LONG``. They stay text so that we say ourselves what is wrong.
ShortText = Annotated[
    str,
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_SHORT, "examples": [1]}),
    Path(description="a decimal number"),
]
LongText = Annotated[
    str,
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_LONG, "examples": [1 << 16]}),
    Path(description="a decimal number"),
]


def number(text: str, what: str, most: int) -> int:
    """Read a decimal number from a path. Raises ApiError for anything else, and above ``most``."""
    if _DECIMAL.fullmatch(text) is None or int(text) > most:
        raise bad_request(f"{text!r} is no {what}", "give a decimal number")
    return int(text)


Id = Annotated[int, Field(ge=0, le=MAX_ID, strict=True)]


class _Body(BaseModel):
    # rsres.md, 3: extra members are ignored.
    model_config = ConfigDict(extra="ignore")


class BankSlotBody(_Body):
    """A bank slot."""

    bankId: Id  # noqa: N815  # the names are those of v1
    slotNr: Id  # noqa: N815


class ClientSlotBody(_Body):
    """A client slot."""

    clientId: Id  # noqa: N815
    slotNr: Id  # noqa: N815


class MappingBody(_Body):
    """What POST /slotmaps takes."""

    bank: BankSlotBody
    client: ClientSlotBody

    def slots(self) -> tuple[BankSlot, ClientSlot]:
        """The two slots as values."""
        bank, client = self.bank, self.client
        return BankSlot(bank.bankId, bank.slotNr), ClientSlot(client.clientId, client.slotNr)


#: The names that the query of each function which answers may have.
_QUERY_NAMES: Final[dict[object, frozenset[str]]] = {}


async def judge_query(request: Request) -> None:
    """A dependency of every route: v2 refuses a query that it does not know, such as a misspelt ``dry_run``.

    v1 passes over it, as its clients expect. Raises ApiError.
    """
    if not (is_of_v2(request.url.path) and request.query_params):
        return
    route: APIRoute = request.scope["route"]
    known = _QUERY_NAMES.get(route.endpoint)
    if known is None:
        known = _QUERY_NAMES[route.endpoint] = _query_names(route.dependant)
    unknown = next((name for name in request.query_params if name not in known), None)
    if unknown is not None:
        there_are = f"there are {', '.join(sorted(known))}" if known else "there is none here"
        raise bad_request(f"{unknown[:40]!r} is no parameter of this request", there_are)


def _query_names(dependant: Dependant) -> frozenset[str]:
    below = (name for each in dependant.dependencies for name in _query_names(each))
    return frozenset((*(field.alias for field in dependant.query_params), *below))


async def read_mapping(request: Request) -> MappingBody:
    """Read the body of POST /slotmaps. Raises ApiError."""
    # rsres.md, 3: exact lower case, parameters allowed.
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if content_type != "application/json":
        raise bad_request(
            f"Content-Type is {content_type!r}" if content_type else "there is no Content-Type",
            "send the header Content-Type: application/json",
        )
    body = await read_body(request)
    try:
        value: object = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is not JSON: {str(error)[:100]}", "see /openapi.json") from None
    try:
        return MappingBody.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise bad_request(f"{where}: {first['msg']}", f"numbers are 0..{MAX_ID}; see /openapi.json") from None


async def read_body(request: Request) -> bytes:
    """The whole body. Raises ApiError if it is too long or cut short."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                text = f"the body has more than {MAX_BODY_BYTES} bytes"
                hint = "divide it into several requests"
                raise ApiError(413, "too_large", text, hint, limit=LimitName.REST_BODY)
    except ClientDisconnect:
        # Nobody is left to read the answer; but the half of a body must not pass for the whole.
        raise bad_request("the body ended before its length") from None
    return bytes(body)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
