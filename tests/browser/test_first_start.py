# SPDX-License-Identifier: Apache-2.0
"""From an empty server to the first card in use, by what the page says alone; then its slot, its trace, its history."""

import asyncio
import json
import re
import shlex
import tarfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from remsim.core.ids import BankSlot
from remsim.demo.stage import BANK_ID, CLIENT, Stage
from remsim.pki.credentials import Credentials
from remsim.server.core.tokens import TokenRole
from tests.browser import peers
from tests.browser.conftest import PATIENCE_MS, Site, live
from tests.browser.pictures import are_pictures_wanted, picture
from tests.doubles.certificates import SERVER, CertificateWorld
from tests.doubles.programs import Program, remsim
from tests.doubles.server_rig import running_server
from tests.doubles.tls_rig import bankd_service, client_service, running

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("quick_start")]


#: The chart of latency in a sentence.
LATENCY = re.compile(
    r"In the last ten minutes: card [0-9.]+ ms in the median, 99 % below [0-9.]+ ms; "
    r"(network [0-9.]+ ms in the median; )?held for [0-9.]+ s\."
)


async def enrolled(page: Page, folder: Path) -> Credentials:
    """Run what the page says on the new host, and give it the code that it shows."""
    words = shlex.split(await page.locator("#joiner-enroll").inner_text())
    code = await page.locator("#joiner-code").inner_text()
    assert words[:2] == ["remsim", "enroll"]

    def run() -> None:
        with Program(remsim(*words[1:], "--state", str(folder))) as program:
            program.send_line(code)
            program.close_input()
            assert program.wait() == 0, program.describe()

    await asyncio.to_thread(run)
    return Credentials(folder / "tls")


async def test_wizard_leads_from_an_empty_server_to_a_card_in_use(chromium: Browser, tmp_path: Path) -> None:
    CertificateWorld(tmp_path / "server").credentials(SERVER, folder="tls")
    async with (
        running_server(tmp_path / "server", rest_open=False, plaintext=None) as service,
        AsyncExitStack() as stack,
    ):
        context = await chromium.new_context(ignore_https_errors=True, viewport={"width": 1440, "height": 900})
        stack.push_async_callback(context.close)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        token = await Site(chromium, service, tmp_path / "server", stack).token(TokenRole.ADMIN)
        await page.goto(f"https://{service.rest_address}/")
        await page.get_by_label("Access token").fill(token)
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("heading", name="First start")).to_be_visible()
        assert await page.locator(".is-done").count() == 0

        await page.locator('[data-kind="bank"] button').click()
        await expect(page.locator("#joiner-state")).to_contain_text("Waiting for bank 1")
        await picture(page, "first-start")
        bank = await enrolled(page, tmp_path / "bank")
        await stack.enter_async_context(running(bankd_service(tmp_path / "bank", bank, service.rspro_address)))
        await expect(page.locator('[data-step="bank"]')).to_have_class("is-done")
        await expect(page.locator("#joiner-state")).to_have_text("bank 1 is connected.")

        await page.get_by_label("Client number").fill("23")
        await page.locator('[data-kind="client"] button').click()
        await expect(page.locator("#joiner-state")).to_contain_text("Waiting for client 23")
        client = client_service(await enrolled(page, tmp_path / "client"), service.rspro_address.port)
        await stack.enter_async_context(running(client))
        await expect(page.locator('[data-step="client"]')).to_have_class("is-done")

        await page.locator("#first-client").fill("C23:0")
        await page.get_by_role("button", name="Map them").click()
        await expect(page.locator('[data-step="mapping"]')).to_have_class("is-done")
        await page.goto(f"https://{service.rest_address}/access")
        await expect(page.get_by_role("cell", name="bank/1").first).to_be_visible()
        await picture(page, "access-authority")


async def test_slot_is_kept_up_to_date_and_changed_from_its_own_view(site: Site) -> None:
    async with peers.bank(site.service, 1, 4), peers.client(site.service, 7, name="modem-7"):
        page = await site.enter()
        await page.goto(f"{site.address}/slots/B1:2")
        await live(page)
        await page.get_by_role("button", name="Give it to a client…").click()
        await page.get_by_label("Client slot").fill("c7:0")
        await page.keyboard.press("Enter")
        await expect(page.locator("#head .state")).to_contain_text("in force")
        await expect(page.locator("#history")).to_contain_text("mapping active")
        await page.get_by_role("button", name="Change labels…").click()
        await page.get_by_label("Labels, separated by commas").fill("roaming, <i>blue</i>")
        await page.keyboard.press("Enter")
        await expect(page.locator("#head h1")).to_contain_text("<i>blue</i>, roaming")
        await page.locator("#facts").get_by_role("link", name="C7:0").click()
        await live(page)
        await page.get_by_role("button", name="Unmap").click()
        await expect(page.locator("#head .state")).to_contain_text("has no card")


async def test_activity_shows_what_happens_and_gives_it_away(site: Site) -> None:
    page = await site.enter(TokenRole.ADMIN)
    await page.goto(f"{site.address}/activity")
    await live(page)
    async with peers.bank(site.service, 1, 4), peers.client(site.service, 7):
        await expect(page.locator("#events tr").first).to_contain_text("client connected")
        await peers.map_slots(site.service, "C7:0", "B1:2")
        await expect(page.locator("#events")).to_contain_text("mapping active")
        await page.get_by_label("About").fill("b1:2")
        await page.get_by_role("button", name="Filter").click()
        await live(page)
        await expect(page.locator("#events")).not_to_contain_text("client connected")
        async with page.expect_download() as started:
            await page.get_by_role("link", name="Export JSON lines").click()
        lines = (await (await started.value).path()).read_text().splitlines()
        found = [json.loads(line) for line in lines]
        assert {"mapping_created", "mapping_active"} <= {one.get("kind") for one in found}
        assert "mapping.change" in {one.get("action") for one in found}
        assert all("B1:2" in line for line in lines)


async def test_trace_moves_pauses_filters_and_is_saved(chromium: Browser, tmp_path: Path) -> None:
    async with Stage() as stage, AsyncExitStack() as stack:
        await stage.wait_for_peers()
        context = await chromium.new_context(viewport={"width": 1440, "height": 900})
        stack.push_async_callback(context.close)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        await page.goto(stage.page)
        await live(page)
        slot = BankSlot(BANK_ID, 2)
        await page.goto(f"{stage.page.split('/login')[0]}/slots/{slot}")
        await live(page)
        await page.get_by_role("button", name="Watch").click()
        await expect(page.locator("#trace-said")).to_contain_text("tells")
        await stage.boot(slot, pace_s=0.0, on_change=lambda: None)
        await expect(page.locator("#trace-rows tr").nth(20)).to_be_visible()
        await picture(page, "trace")
        await page.get_by_label("Filter").fill("read binary")
        shown = await page.locator("#trace-rows .detail").all_inner_texts()
        assert shown
        assert all("READ BINARY" in one for one in shown)
        await page.get_by_label("Filter").fill("")
        await page.get_by_role("button", name="Pause").click()
        count = await page.locator("#trace-rows tr").count()
        await stage.unmap(slot)
        await stage.boot(slot, pace_s=0.0, on_change=lambda: None)
        await expect(page.locator("#trace-said")).to_contain_text("Paused")
        assert await page.locator("#trace-rows tr").count() == count
        await expect(page.locator("#latency-said")).to_have_text(LATENCY)
        await expect(page.locator("#latency-chart canvas")).to_be_visible()
        await page.get_by_text("The same as figures").click()
        await expect(page.locator("#latency-rows")).to_contain_text(re.compile("[0-9.]+ ms"))
        await page.get_by_text("The same as figures").click()
        await page.evaluate("scrollTo(0, 0)")
        # One start at full speed would be one point in the chart.
        for pace_s in (0.05, 0.1, 0.02) if are_pictures_wanted() else ():
            await stage.unmap(slot)
            await stage.boot(slot, pace_s=pace_s, on_change=lambda: None)
        await picture(page, "slot-latency")
        async with page.expect_download() as started:
            await page.get_by_role("button", name="Save as JSON lines").click()
        records = [json.loads(line) for line in (await (await started.value).path()).read_text().splitlines()]
        assert any(one["kind"] == "command" for one in records)
        # A capture goes on until its download is ended.
        async with page.expect_download() as started:
            await page.get_by_role("link", name="Capture as pcapng").click()
        assert (await started.value).suggested_filename == "B1-2.pcapng"
        await (await started.value).cancel()
        async with page.expect_download() as started:
            await page.get_by_role("link", name="Bundle for a bug report").click()
        with tarfile.open(await (await started.value).path()) as bundle:
            trace = bundle.extractfile(next(name for name in bundle.getnames() if name.endswith("/trace.jsonl")))
            assert trace is not None
            assert b"READ BINARY" in trace.read()
        await page.get_by_role("button", name="Stop").click()
        await expect(page.locator("#trace-said")).to_have_text("Not watched now.")
        assert str(CLIENT) in await page.locator("#facts").inner_text()
