# SPDX-License-Identifier: Apache-2.0
"""Log in with a token or a link that is good once, log out, and the reports of browsers.

A link carries its secret behind ``#``, which browsers send to nobody: the login page reads it and sends it as a form.
So a program that only looks at links, for a preview or a search for viruses, does not use it up.
"""

import asyncio
import secrets
import time
from typing import Annotated, Final, cast
from urllib.parse import parse_qs, urlencode

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response

from remsim.core.rate_limit import TokenBuckets
from remsim.logs import get_logger
from remsim.net.runtime.tasks import in_thread
from remsim.pki.errors import KeyFileError
from remsim.server.api.auth import LOGIN_PATH, LOGOUT_PATH, REPORT_PATH, for_anybody
from remsim.server.api.errors import ApiError, bad_request
from remsim.server.api.judging import (
    ENDED,
    TOKEN_EXPIRED,
    TOKEN_REVOKED,
    TokenJudge,
    cookie_name,
    cookie_of,
    is_of_own_page,
)
from remsim.server.api.reading import read_body
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheRuntime
from remsim.server.core.actions import Actor, Entry
from remsim.server.core.page_sessions import PAGE_SECRET_BYTES, SESSION_S, PageFileError, is_proof
from remsim.server.core.tokens import Grant, TokenRole, is_still_good
from remsim.server.page.frame import HEADERS, html
from remsim.server.page.rendering import environment, render, sentence
from remsim.server.runtime import ServerRuntime
from remsim.server.store.page_files import PageFiles

router = Resource(include_in_schema=False)

_LOGGED_OUT: Final = "logged_out"
_WHY: Final = {
    ENDED: "Your session has ended. Log in again.",
    TOKEN_EXPIRED: "Your session has ended because its token has expired. Log in with another one.",
    TOKEN_REVOKED: "Your session has ended because its token was revoked. Log in with another one.",
    _LOGGED_OUT: "You are logged out.",
}
#: Reports of browsers that are logged: so many, then one in this time.
_REPORTS, _REPORT_S = 10, 600.0
_MAX_REPORT: Final = 500


class Login:
    """What logging in needs; one for the server."""

    def __init__(self, judge: TokenJudge, files: PageFiles, *, is_open: bool) -> None:
        self.judge = judge
        self.files = files
        #: No token is needed, so nobody logs in.
        self.is_open = is_open
        self.log = get_logger("page")
        #: What browsers have reported, as far as it was logged.
        self.reports: list[str] = []
        self._report_limit = TokenBuckets(burst=_REPORTS, interval_s=_REPORT_S)
        self._turn = asyncio.Lock()

    def restore(self) -> None:
        """Take over the sessions of an earlier run; without their file, or with a bad one, people log in again."""
        try:
            text = self.files.read_sessions()
            if text is not None:
                self.judge.sessions.restore(text, time.time())
        except (KeyFileError, PageFileError) as error:
            self.log.warning("page_sessions_lost", error=str(error), hint=error.hint)

    async def save(self) -> None:
        """Keep the sessions over a restart; if that fails, they end with this run."""
        async with self._turn:
            try:
                await in_thread(self.files.write_sessions, self.judge.sessions.to_json(time.time()))
            except KeyFileError as error:
                self.log.warning("page_sessions_not_kept", error=str(error), hint=error.hint)

    async def by_token(self, text: str, request: Request) -> Grant:
        """Raises ApiError and StoreError."""
        return await self.judge.check(text, request.scope)

    async def by_link(self, text: str, request: Request, runtime: ServerRuntime) -> Grant:
        """Raises ApiError and StoreError."""
        self.judge.refuse_if_slowed(request.scope)
        try:
            token_id = await in_thread(self.files.take_link, text)
        except KeyFileError as error:
            raise ApiError(503, "not_ready", str(error), error.hint) from None
        stored = None if token_id is None else await runtime.query.find_token(token_id)
        if stored is None or not is_still_good(stored, time.time()):
            self.judge.failed(request.scope, "link", "no such link")
            text = "the link was used already, or is too old"
            raise ApiError(401, "bad_link", text, "make another one with: remsim token create NAME --link")
        return Grant(stored.token_id, stored.name, stored.role, stored.scope)

    def note_report(self, text: str, now: float) -> None:
        """A browser has kept the page from something."""
        if self._report_limit.take("all", now):
            self.reports.append(text)
            del self.reports[:-_REPORTS]
            self.log.warning("page_policy_report", report=text)


async def _login(request: Request) -> Login:
    return cast(Login, request.app.state.login)


TheLogin = Annotated[Login, Depends(_login)]


@router.get(LOGIN_PATH)
@for_anybody
async def show_login(request: Request, login: TheLogin, why: str = "", next: str = "/") -> Response:  # noqa: A002
    """The form."""
    if login.is_open:
        return RedirectResponse("/", 303)
    await in_thread(environment)
    return html(render("login.html", message=_WHY.get(why, ""), hint="", next=_local(next)))


@router.post(LOGIN_PATH)
@for_anybody
async def log_in(request: Request, login: TheLogin, runtime: TheRuntime) -> Response:
    """Take a token, or what a link carries, and begin a session."""
    _refuse_other_sites(request)
    form = await _form(request)
    await in_thread(environment)
    token, link, target = form.get("token", "").strip(), form.get("link", "").strip(), _local(form.get("next", "/"))
    try:
        grant = await (login.by_link(link, request, runtime) if link else login.by_token(token or "-", request))
    except ApiError as error:
        hint = "A token looks like remsim_…; make one with: remsim token create NAME" if not link else error.hint
        shown = html(render("login.html", message=sentence(error.message), hint=hint, next=target), error.status)
        if error.retry_after_s is not None:
            shown.headers["Retry-After"] = str(int(error.retry_after_s) + 1)
        return shown
    cookie = login.judge.sessions.begin(secrets.token_bytes(PAGE_SECRET_BYTES), grant.token_id, time.time())
    await login.save()
    client = request.scope.get("client")
    source = str(client[0]) if client else "unknown"
    actor = Actor(f"token {grant.token_id} {grant.name}", source)
    runtime.record(Entry(actor, "page.login", detail="by a link" if link else "by its text"))
    query = runtime.query
    if target == "/" and not grant.scope.is_limited and not query.known_banks() and not query.known_clients():
        # Nothing to see yet; there is something to do.
        target = "/start"
    answer = RedirectResponse(target, 303, {"Cache-Control": "no-store"})
    answer.set_cookie(
        cookie_name(request.scope),
        cookie,
        max_age=int(SESSION_S),
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post(LOGOUT_PATH)
@for_anybody
async def log_out(request: Request, login: TheLogin) -> Response:
    """End the session."""
    _refuse_other_sites(request)
    form = await _form(request)
    cookie = cookie_of(request.scope)
    if cookie is not None:
        if not is_proof(form.get("proof"), cookie):
            raise ApiError(403, "no_proof", "this did not come from the page", "load the page again")
        login.judge.sessions.end(cookie)
        await login.save()
    answer = RedirectResponse(f"{LOGIN_PATH}?{urlencode({'why': _LOGGED_OUT})}", 303, {"Cache-Control": "no-store"})
    answer.delete_cookie(
        cookie_name(request.scope),
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post(REPORT_PATH)
@for_anybody
async def take_report(request: Request, login: TheLogin) -> Response:
    """A browser tells what the policy of the page forbade (Content Security Policy 3, 5.3)."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("application/csp-report", "application/reports+json"):
        raise bad_request("this is no report")
    body = await read_body(request)
    login.note_report(body[:_MAX_REPORT].decode("utf-8", "replace"), time.monotonic())
    return Response(status_code=200, headers=dict(HEADERS))


def may_be_admin(grant: Grant) -> bool:
    """Whether somebody sees tokens, certificates, codes and the audit log."""
    return grant.role >= TokenRole.ADMIN and not grant.scope.is_limited


def _refuse_other_sites(request: Request) -> None:
    """A form may be sent by any site; ours are sent by ours. Raises ApiError."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    is_ours = "origin" not in request.headers or is_of_own_page(request.headers, request.scope["scheme"])
    if site not in ("same-origin", "none") or not is_ours:
        raise ApiError(403, "forbidden", "this form was sent by another site", "log in on the page itself")


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; the first of each name. Raises ApiError."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise bad_request("this is no form", "log in with a browser; programs send their token with each request")
    body = await read_body(request)
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise bad_request("the form cannot be read") from None
    return {name: values[0] for name, values in found.items()}


def _local(target: str) -> str:
    """Where to go after the login: a place on this server, and nowhere else."""
    is_local = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if is_local and "\\" not in target else "/"
