# SPDX-License-Identifier: Apache-2.0
"""One Chromium for all tests of the page, servers in this loop or as programs, and what must hold of every look at it.

Whatever a test does, no request may go anywhere else, no script may fail, and nothing may be against the page's
policy. With REMSIM_SCREENSHOTS=FOLDER, the views are kept there as pictures (``tests.browser.pictures``).
"""

import asyncio
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright, expect

from remsim.config import ServerConfig
from remsim.server.core.page_sessions import PAGE_SECRET_BYTES
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from tests.doubles.server_rig import running_server

#: Where Debian's package puts it.
CHROMIUM: Final = Path("/usr/bin/chromium")
_FLAGS: Final = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server"),
)
WIDE: Final = (1440, 900)
PHONE: Final = (390, 844)
_THREADS: Final = 4
#: What a page waits for at most.
PATIENCE_MS: Final = 30_000

Scheme = Literal["light", "dark"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser; new contexts of it know nothing of each other."""
    _start_threads()
    expect.set_options(timeout=PATIENCE_MS)
    path = CHROMIUM if CHROMIUM.exists() else shutil.which("chromium")
    assert path is not None, "there is no Chromium: tools/setup-system.sh installs it, or says how"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(path), args=list(_FLAGS), chromium_sandbox=False)
        yield browser
        await browser.close()


def _start_threads() -> None:
    """Let the loop have all the threads of its pool now: tests do not leave them behind, they are shared."""
    pool = ThreadPoolExecutor(max_workers=_THREADS)
    meeting = threading.Barrier(_THREADS)
    for _ in range(_THREADS):
        pool.submit(meeting.wait)
    asyncio.get_running_loop().set_default_executor(pool)


class Site:
    """A server, and browsers that look at it."""

    def __init__(self, browser: Browser, service: ServerService, state: Path, stack: AsyncExitStack) -> None:
        self._browser = browser
        self.service = service
        self.state = state
        self.stack = stack
        self.violations: list[str] = []

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{self.service.rest_address}"

    async def token(self, role: TokenRole = TokenRole.OPERATOR, scope: Scope | None = None, **more: float) -> str:
        """A token, made as the command line makes it."""
        config = ServerConfig(state_dir=self.state)
        lifetime_s = more.get("lifetime_s")
        text, _ = await asyncio.to_thread(
            create_token,
            config,
            name=f"{role.text} of a test",
            role=role,
            scope=scope or Scope(),
            lifetime_s=lifetime_s,
        )
        return text

    async def browser(
        self,
        size: tuple[int, int] = WIDE,
        scheme: Scheme = "light",
        motion: Literal["reduce", "no-preference"] = "no-preference",
        *,
        address: str | None = None,
    ) -> Page:
        """A browser that nobody has used, with an empty page."""
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            reduced_motion=motion,
            ignore_https_errors=True,
            locale="en-GB",
        )
        self.stack.push_async_callback(context.close)
        context.set_default_timeout(PATIENCE_MS)
        await _watch(context, self.violations, address or self.address)
        return await context.new_page()

    async def enter(self, role: TokenRole = TokenRole.OPERATOR, scope: Scope | None = None, **more: object) -> Page:
        """A browser that is logged in; its page is still empty."""
        token = await self.token(role, scope)
        page = await self.browser(**more)  # type: ignore[arg-type]  # as browser() takes them
        assert self.service.app is not None
        sessions = self.service.app.state.judge.sessions
        cookie = sessions.begin(secrets.token_bytes(PAGE_SECRET_BYTES), token.split("_")[1], time.time())
        name = f"remsim-{self.service.rest_address.port}"
        await page.context.add_cookies([{"name": name, "value": cookie, "url": self.address, "sameSite": "Strict"}])
        return page

    async def overview(self, role: TokenRole = TokenRole.OPERATOR, scope: Scope | None = None, **more: object) -> Page:
        """A browser that looks at the overview, kept up to date."""
        page = await self.enter(role, scope, **more)
        await page.goto(self.address)
        await live(page)
        return page

    def check(self) -> None:
        """Nothing went wrong in any browser."""
        assert not self.violations
        assert self.service.app is not None
        assert self.service.app.state.login.reports == [], "the page is against its own policy"


async def live(page: Page) -> None:
    """Return when the page is up to date, and would notice if it were not."""
    await page.locator("body[data-live]").wait_for()


async def _watch(context: BrowserContext, violations: list[str], address: str) -> None:
    ours = urlsplit(address).netloc

    def on_request(request: Request) -> None:
        where = urlsplit(request.url)
        if where.scheme in ("http", "https", "ws", "wss") and where.netloc != ours:
            violations.append(f"a request to {request.url}")

    context.on("request", on_request)
    context.on("weberror", lambda error: violations.append(f"a script failed: {error.error}"))
    await context.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error(`POLICY ${e.effectiveDirective} ${e.sample}`))"
    )
    context.on("console", lambda said: violations.append(said.text) if "POLICY" in said.text else None)


@pytest_asyncio.fixture(loop_scope="session")
async def site(chromium: Browser, tmp_path: Path) -> AsyncIterator[Site]:
    """A server that asks for tokens."""
    async with running_server(tmp_path, rest_open=False) as service, AsyncExitStack() as stack:
        made = Site(chromium, service, tmp_path, stack)
        yield made
        made.check()
