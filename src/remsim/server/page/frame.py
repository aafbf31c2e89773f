# SPDX-License-Identifier: Apache-2.0
"""What all views of the page share: headers, the frame around them, and who looks."""

import secrets
from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from starlette.types import Scope

from remsim.net.runtime.tasks import in_thread
from remsim.server.api.auth import REPORT_PATH, who_has
from remsim.server.api.judging import cookie_of
from remsim.server.core.page_sessions import PROOF_BYTES, masked_proof
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.page.rendering import environment, render

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    f"base-uri 'none'; frame-ancestors 'none'; report-uri {REPORT_PATH}"
)
#: No other site may frame, read or guess anything here, and nothing is loaded from elsewhere.
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


async def page(request: Request, grant: Grant, view: str, /, *, here: str, **values: object) -> Response:
    """A view in its frame; ``here`` is its entry in the menu."""
    # The first one compiles the templates, which takes a moment.
    await in_thread(environment)
    return html(render(view, **frame_of(request.scope, grant, here=here), **values))


def frame_of(scope: Scope, grant: Grant, *, here: str) -> dict[str, object]:
    """What the frame needs to know of the one who looks."""
    cookie = cookie_of(scope)
    return {
        "here": here,
        "who": who_has(grant) if not grant.token_id else grant.name,
        "role": grant.role.text,
        "is_limited": grant.scope.is_limited,
        "may_write": grant.role >= TokenRole.OPERATOR,
        "is_admin": grant.role >= TokenRole.ADMIN and not grant.scope.is_limited,
        "proof": "" if cookie is None else masked_proof(cookie, secrets.token_bytes(PROOF_BYTES)),
        "is_session": cookie is not None,
    }


def html(text: str, status: int = 200) -> Response:
    """An answer with the headers of the page."""
    return HTMLResponse(text, status, dict(HEADERS))
