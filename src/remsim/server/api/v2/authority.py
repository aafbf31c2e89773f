# SPDX-License-Identifier: Apache-2.0
"""Certificates and enrolment codes of the authority beside the server, for admins. Elsewhere there are none."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

from fastapi import Depends, Request
from fastapi.responses import Response

from remsim.core.identity import Identity, IdentityError
from remsim.pki.codes import LIFETIME_S
from remsim.pki.errors import PkiError
from remsim.rest import authority as models
from remsim.server.api.auth import TheActor, TheGrant, for_admins, require_operator
from remsim.server.api.errors import V2, ApiError, bad_request, not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheRuntime
from remsim.server.api.v1.views import time_text
from remsim.server.api.v2.answers import gives, page, problems, shown
from remsim.server.api.v2.reading import DEFAULT_LIMIT, CursorText, LimitText, read_json, read_model
from remsim.server.authority.turns import AuthorityTurns
from remsim.server.core.actions import Entry

if TYPE_CHECKING:
    # It brings a library that a server without an authority does without.
    from remsim.pki.authority import Authority
    from remsim.pki.codes import StoredCode
    from remsim.pki.ledger import Issued

T = TypeVar("T")

router = Resource(prefix=V2, tags=["v2 access"])


async def _authority(request: Request) -> "Authority":
    found = cast("Authority | None", getattr(request.app.state, "authority", None))
    if found is None:
        raise not_found("this server has no authority", "on the host that has it: remsim pki code, remsim pki show")
    return found


# Not the type itself: FastAPI would look for it when the module is loaded.
_TheAuthority = Annotated[object, Depends(_authority)]


@router.get("/certificates", responses={**gives(models.CertificatePage), **problems(400, 404)})
@for_admins
async def list_certificates(
    request: Request,
    grant: TheGrant,
    authority: _TheAuthority,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """Every certificate that was issued, revoked and expired ones included. For admins."""
    await require_operator(request, grant)
    issued = await _look(request, cast("Authority", authority).issued)
    found = sorted(issued, key=lambda entry: f"{entry.serial:x}")
    return await page(
        found, key=lambda entry: (f"{entry.serial:x}",), show=show_certificate, limit=limit, cursor=cursor
    )


@router.get("/codes", responses={**gives(models.CodePage), **problems(400, 404)})
@for_admins
async def list_codes(
    request: Request,
    grant: TheGrant,
    authority: _TheAuthority,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """What became of every enrolment code that is not forgotten yet, without its secret. For admins."""
    await require_operator(request, grant)
    codes = await _look(request, cast("Authority", authority).codes)
    found = sorted(codes, key=lambda code: code.code_id.hex())
    return await page(found, key=lambda code: (code.code_id.hex(),), show=show_code, limit=limit, cursor=cursor)


@router.post(
    "/codes",
    status_code=201,
    responses={**gives(models.NewCodeModel, 201, text="made"), **problems(400, 404, 413, 415)},
    takes=models.CodeOrder,
)
@for_admins
async def make_code(
    request: Request, runtime: TheRuntime, grant: TheGrant, actor: TheActor, authority: _TheAuthority
) -> Response:
    """Make a code by which a new host gets its certificate; earlier ones that nobody used end. For admins."""
    await require_operator(request, grant)
    order = read_model(await read_json(request), models.CodeOrder)
    try:
        identity = Identity.parse(order.identity)
    except IdentityError as error:
        raise bad_request(str(error), error.hint) from None
    now = time.time()
    made = await _look(request, lambda: cast("Authority", authority).make_code(identity, now=now))
    runtime.record(Entry(actor, "code.order", str(identity)))
    model = models.NewCodeModel(identity=str(identity), code=made.to_text(), expires_at=time_text(now + LIFETIME_S))
    return shown(model, 201, {"Cache-Control": "no-store"})


async def _look(request: Request, work: Callable[[], T]) -> T:
    """Ask the authority, whose files others use, too. Raises ApiError."""
    try:
        return await cast(AuthorityTurns, request.app.state.authority_turns).do(work)
    except PkiError as error:
        raise ApiError(503, "not_ready", str(error), error.hint) from None


def show_certificate(entry: "Issued") -> models.CertificateModel:
    """One certificate."""
    state = "revoked" if entry.revoked_at is not None else "valid" if entry.is_valid(time.time()) else "expired"
    return models.CertificateModel.model_validate(
        {
            "serial": f"{entry.serial:x}",
            "identity": str(entry.identity),
            "state": state,
            "issued_at": time_text(entry.issued_at),
            "expires_at": time_text(entry.expires_at),
            "revoked_at": None if entry.revoked_at is None else time_text(entry.revoked_at),
            "reason": entry.reason or None,
        }
    )


def show_code(code: "StoredCode") -> models.CodeModel:
    """One code."""
    if code.used_by is not None:
        state = "used"
    elif code.is_live(time.time()):
        state = "open"
    else:
        state = "withdrawn" if code.is_withdrawn or not code.tries_left else "expired"
    return models.CodeModel.model_validate(
        {
            "id": code.code_id.hex(),
            "identity": str(code.identity),
            "state": state,
            "made_at": time_text(code.made_at),
            "expires_at": time_text(code.expires_at),
        }
    )
