# SPDX-License-Identifier: Apache-2.0
"""Enrolment over REST: three routes that need no token, because a code or a certificate proves who asks.

The protocol is described in ``remsim.pki.enrolment_service``. Mount them only where there is an authority, and serve
them over TLS only.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, Protocol, TypeVar, cast

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from remsim.core.episode import OncePerEpisode
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.rate_limit import TokenBuckets
from remsim.logs import Logger
from remsim.net.log_limiter import LogRateLimiter
from remsim.pki.enrolment_service import EnrolmentService, EnrolmentServiceError, Issuance
from remsim.pki.errors import PkiError
from remsim.pki.ledger import Issued
from remsim.pki.messages import ANCHOR_PATH, CERTIFICATE_PATH, RENEWAL_PATH
from remsim.server.api.auth import for_anybody
from remsim.server.api.errors import ApiError, bad_request
from remsim.server.api.reading import read_body
from remsim.server.api.resource import Resource, RestApplication
from remsim.server.api.routing import refusals
from remsim.server.api.v1.shapes import AuthorityShape, IssuedShape
from remsim.server.authority.turns import AuthorityTurns
from remsim.server.core.tokens import failure_limiter, limited_source

T = TypeVar("T")

_REFUSED: Final = "enrolment_refused"
_AUTHORITY_IN_TROUBLE: Final = "authority_in_trouble"
_CODES: Final = {400: "bad_request", 403: "refused", 429: "too_many_renewals"}
_REFUSALS: Final = refusals(400, 403, 413, 429, 503)


class IssuanceLog(Protocol):
    """Where it is written down who got a certificate, and who did not."""

    def enrolled(self, issued: Issued, *, source: str, how: str) -> None:
        """Somebody at ``source`` got a certificate."""
        ...

    def refused(self, *, source: str, request: str, reason: str) -> None:
        """Somebody at ``source`` failed to."""
        ...


def _body(*names: str) -> dict[str, object]:
    properties = {name: {"type": "string"} for name in names}
    schema = {"type": "object", "properties": properties, "required": list(names)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


class EnrolmentHandler:
    """Reads a request, refuses those that failed too often, and logs what came of it."""

    def __init__(
        self,
        enrolment: EnrolmentService,
        log: Logger,
        issuances: IssuanceLog,
        limiter: TokenBuckets,
        lines: LogRateLimiter,
        *,
        turns: AuthorityTurns,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.enrolment = enrolment
        self._log = log
        self._issuances = issuances
        self._limiter = limiter
        self._lines = lines
        self._now = now
        self._clock = clock
        # What is wrong with the authority's files is told once: it is not for those who ask to fill the log.
        self._trouble: OncePerEpisode[str] = OncePerEpisode()
        # One at a time: signing and writing would only wait for each other.
        self._turns = turns

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now()

    async def ask(self, request: Request, work: Callable[[object], T]) -> T:
        """Let ``work`` answer the body in a thread. Raises ApiError."""
        source = limited_source(_source(request))
        body = await _read_object(request)
        wait_s = self._limiter.wait_s(source, self._clock())
        proof: str | None = None
        try:
            # Others at this address have failed too often. Who shows a good code or certificate is none of them, and
            # has a limit of its own.
            if wait_s > 0:
                proof = await self._turns.do(partial(self.enrolment.proof, now=self._now()), body)
            if proof is not None:
                wait_s = self._limiter.wait_s(proof, self._clock())
            if wait_s > 0:
                text = f"too many failed attempts; wait {wait_s:.0f} s"
                raise ApiError(429, "too_many_failures", text, retry_after_s=wait_s, limit=LimitName.ENROLMENT_FAILURES)
            answer = await self._turns.do(work, body)
        except EnrolmentServiceError as error:
            self._limiter.spend(source if proof is None else proof, self._clock())
            self._note_refusal(_source(request), request.url.path, str(error))
            status = error.status or 400
            raise ApiError(
                status, _CODES[status], str(error), error.hint, retry_after_s=error.wait_s, limit=error.limit
            ) from None
        except PkiError as error:
            if self._trouble.begins(_AUTHORITY_IN_TROUBLE, str(error)):
                self._log.error(_AUTHORITY_IN_TROUBLE, error=str(error), hint=error.hint)
            # The caller may be anybody: the names of files are for the log.
            text = "the authority cannot answer now"
            raise ApiError(503, _AUTHORITY_IN_TROUBLE, text, "try again later; the server's log says why") from None
        self._trouble.ends(_AUTHORITY_IN_TROUBLE)
        return answer

    def _note_refusal(self, peer: str, path: str, reason: str) -> None:
        say = self._log.warning if self._lines.level(_REFUSED, "warning") == "warning" else self._log.debug
        say(_REFUSED, peer=peer, path=path, reason=reason)
        self._issuances.refused(source=peer, request=path, reason=reason)

    def granted(self, request: Request, grant: Issuance) -> JSONResponse:
        """Log who got a certificate, and answer with it."""
        self._log.info(
            "certificate_issued",
            identity=str(grant.issued.identity),
            serial=f"{grant.issued.serial:x}",
            how=grant.how,
            peer=_source(request),
        )
        self._issuances.enrolled(grant.issued, source=_source(request), how=grant.how)
        return JSONResponse(grant.answer)


async def _handler(
    request: Request,
) -> EnrolmentHandler:  # FastAPI would call a plain function in a thread, for every request.
    return cast(EnrolmentHandler, request.app.state.enrolment)


_TheHandler = Annotated[EnrolmentHandler, Depends(_handler)]

router = Resource(tags=["enrolment"])


def mount(
    app: RestApplication,
    enrolment: EnrolmentService,
    *,
    log: Logger,
    issuances: IssuanceLog,
    lines: LogRateLimiter,
    limits: LimitCounts | None = None,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Add the routes, for one authority. ``limits`` counts those that are reached. ``lines`` are the program's.

    ``now`` gives seconds since 1970, ``clock`` those of a clock that does not go back.
    """
    limiter = failure_limiter(limits=limits)
    if not hasattr(app.state, "authority_turns"):
        app.state.authority_turns = AuthorityTurns()
    turns: AuthorityTurns = app.state.authority_turns
    app.state.enrolment = EnrolmentHandler(enrolment, log, issuances, limiter, lines, turns=turns, now=now, clock=clock)
    app.offer(router)


@router.post(ANCHOR_PATH, responses={200: {"model": AuthorityShape}, **_REFUSALS}, openapi_extra=_body("code"))
@for_anybody
async def anchor(request: Request, handler: _TheHandler) -> JSONResponse:
    """The authority's certificate, for callers that know the name of a code. Compare its SHA-256 with the code's."""
    return JSONResponse(await handler.ask(request, handler.enrolment.anchor))


@router.post(
    CERTIFICATE_PATH,
    responses={200: {"model": IssuedShape}, **_REFUSALS},
    openapi_extra=_body("identity", "code", "secret", "request"),
)
@for_anybody
async def certificate(request: Request, handler: _TheHandler) -> JSONResponse:
    """A certificate for a caller with a good one-time code."""
    return handler.granted(
        request, await handler.ask(request, lambda body: handler.enrolment.certify(body, now=handler.now()))
    )


@router.post(
    RENEWAL_PATH,
    responses={200: {"model": IssuedShape}, **_REFUSALS},
    openapi_extra=_body("certificate", "request", "signature"),
)
@for_anybody
async def renewal(request: Request, handler: _TheHandler) -> JSONResponse:
    """A new certificate for a caller with one that is about to expire."""
    return handler.granted(
        request, await handler.ask(request, lambda body: handler.enrolment.renew(body, now=handler.now()))
    )


def _source(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


async def _read_object(request: Request) -> object:
    body = await read_body(request)
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("the body is not JSON") from None
    return value
