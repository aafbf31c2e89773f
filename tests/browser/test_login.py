# SPDX-License-Identifier: Apache-2.0
"""Logging in with a token and with a link, and what happens when a token ends while somebody looks."""

import asyncio
import time
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from remsim.config import ServerConfig
from remsim.server.core.tokens import TokenRole
from remsim.server.page import stream
from remsim.server.store.page_files import PageFiles
from remsim.server.store.tokens import revoke_token
from tests.browser.conftest import Site, live
from tests.browser.pictures import picture
from tests.doubles.certificates import SERVER, CertificateWorld
from tests.doubles.server_rig import running_server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_token_logs_in_and_the_button_logs_out(site: Site) -> None:
    token = await site.token()
    page = await site.browser()
    await page.goto(f"{site.address}/?q=b1")
    await expect(page).to_have_url(f"{site.address}/login?next=%2F%3Fq%3Db1")
    await picture(page, "login")
    await page.get_by_label("Access token").fill("remsim_0123456789ab_" + "a" * 52)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("The token is not valid.")
    await page.get_by_label("Access token").fill(token)
    await page.get_by_role("button", name="Log in").click()
    await expect(page).to_have_url(f"{site.address}/?q=b1")
    (cookie,) = await page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
    assert token.split("_")[2] not in cookie["value"]
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("alert")).to_have_text("You are logged out.")
    await page.goto(site.address)
    await expect(page).to_have_url(f"{site.address}/login")


async def test_link_logs_in_once(site: Site) -> None:
    token = await site.token()
    link = PageFiles(site.state).add_link(token.split("_")[1])
    page = await site.browser()
    await page.goto(f"{site.address}/login#{link}")
    # An empty server has something to do first.
    await expect(page).to_have_url(f"{site.address}/start")
    second = await site.browser()
    await second.goto(f"{site.address}/login#{link}")
    await expect(second.get_by_role("alert")).to_contain_text("The link was used already, or is too old.")


async def test_session_over_https_is_for_https_only(chromium: Browser, tmp_path: Path) -> None:
    world = CertificateWorld(tmp_path)
    world.credentials(SERVER, folder="tls")
    async with running_server(tmp_path, rest_open=False, plaintext=None) as service:
        context = await chromium.new_context(ignore_https_errors=True)
        page = await context.new_page()
        maker = Site(chromium, service, tmp_path, None)  # type: ignore[arg-type]  # makes a token only
        await page.goto(f"https://{service.rest_address}/login?next=/activity")
        await page.get_by_label("Access token").fill(await maker.token())
        await page.get_by_role("button", name="Log in").click()
        await live(page)
        (cookie,) = await context.cookies()
        assert (cookie["name"], cookie["secure"]) == (f"__Host-remsim-{service.rest_address.port}", True)
        await context.close()


async def test_revoked_token_ends_what_is_open_and_says_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHECK_S", 0.2)
    token = await site.token(TokenRole.VIEWER)
    page = await site.browser()
    await page.goto(f"{site.address}/login?next=/activity")
    await page.get_by_label("Access token").fill(token)
    await page.get_by_role("button", name="Log in").click()
    await live(page)
    await asyncio.to_thread(revoke_token, ServerConfig(state_dir=site.state), token.split("_")[1])
    await expect(page.get_by_role("alert")).to_have_text(
        "Your session has ended because its token was revoked. Log in with another one."
    )


async def test_token_that_expires_meanwhile_ends_what_is_open_and_says_why(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHECK_S", 0.2)
    token = await site.token(TokenRole.VIEWER, lifetime_s=1800.0)
    page = await site.browser()
    await page.goto(f"{site.address}/login?next=/activity")
    await page.get_by_label("Access token").fill(token)
    await page.get_by_role("button", name="Log in").click()
    await live(page)
    assert site.service.app is not None
    monkeypatch.setattr(site.service.app.state.judge, "_now", lambda: time.time() + 3600)
    await expect(page.get_by_role("alert")).to_have_text(
        "Your session has ended because its token has expired. Log in with another one."
    )
