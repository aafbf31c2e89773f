# SPDX-License-Identifier: Apache-2.0
"""Cards on loan, locks and webhooks by the page alone."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from remsim.server.core.tokens import TokenRole
from tests.browser import peers
from tests.browser.conftest import Site, live
from tests.browser.pictures import picture

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def lend(page: Page, pool: str, client: str, priority: int = 0) -> None:
    """Fill in the form and send it."""
    await page.get_by_label("Card", exact=True).fill(pool)
    await page.get_by_label("to", exact=True).fill(client)
    await page.get_by_label("priority").fill(str(priority))
    await page.get_by_role("button", name="Lend", exact=True).click()


async def test_who_waits_for_an_exhausted_pool_gets_the_card_that_is_given_back(site: Site) -> None:
    async with (
        peers.bank(site.service, 1, 4),
        peers.client(site.service, 7, name="modem-7"),
        peers.client(site.service, 8, name="modem-8"),
        peers.client(site.service, 9, name="modem-9"),
    ):
        await peers.label(site.service, "B1:2", "roaming")
        page = await site.enter()
        await page.goto(f"{site.address}/leases")
        await live(page)
        await lend(page, "label:roaming", "c7:0")
        await expect(page.locator("#granted tr", has_text="C7:0")).to_contain_text("B1:2")
        await lend(page, "label:roaming", "C8:0")
        await expect(page.locator("#waiting tr", has_text="C8:0")).to_contain_text("no card of label:roaming is free")
        await expect(page.locator(".toast").last).to_contain_text("C8:0 waits for a card of label:roaming.")
        await lend(page, "label:roaming", "C9:0", priority=5)
        await expect(page.locator("#waiting tbody tr")).to_have_count(2)
        queue = await page.locator("#waiting tbody tr td:nth-child(2)").all_inner_texts()
        assert queue == ["C9:0", "C8:0"]
        assert await page.locator("#waiting tbody tr td:nth-child(4)").all_inner_texts() == ["nobody", "1"]
        await picture(page, "leases-queue")

        # The modem of the first in the queue gets the card by itself.
        waiting = await site.enter()
        await waiting.goto(f"{site.address}/clients/C9:0")
        await live(waiting)
        await expect(waiting.locator("#facts")).to_contain_text("waits for a card")
        await page.locator("#granted tr", has_text="C7:0").get_by_role("button", name="Release").click()
        await expect(page.locator("#granted tr", has_text="C9:0")).to_contain_text("B1:2")
        await expect(page.locator("#ended tr", has_text="C7:0")).to_contain_text("given back")
        await expect(waiting.locator("#head .state")).to_contain_text("in force")
        await expect(waiting.locator("#facts")).to_contain_text("lease 3 of label:roaming")

        await page.locator("#granted tr", has_text="C9:0").get_by_role("button", name="Renew…").click()
        await page.get_by_label("From now on, for").fill("5h")
        await page.keyboard.press("Enter")
        await expect(page.locator(".toast").last).to_contain_text("Lease 3 lasts 5h from now on.")
        await page.locator("#waiting tr", has_text="C8:0").get_by_role("button", name="Withdraw").click()
        await expect(page.locator("#waiting")).to_contain_text("Nobody waits for a card.")


async def test_card_is_lent_and_given_back_in_the_view_of_its_slot(site: Site) -> None:
    async with peers.bank(site.service, 1, 4), peers.client(site.service, 7):
        page = await site.enter()
        await page.goto(f"{site.address}/slots/B1:2")
        await live(page)
        await page.get_by_role("button", name="Lend it…").click()
        await page.get_by_label("Client slot").fill("c7:0")
        await page.get_by_label("For", exact=True).fill("30m")
        await page.keyboard.press("Enter")
        await expect(page.locator("#facts")).to_contain_text("lease 1 of B1:2")
        assert await page.get_by_role("button", name="Reinsert the card").count() == 0
        await page.get_by_role("button", name="Release the lease").click()
        await expect(page.locator("#facts")).not_to_contain_text("lease 1")
        await expect(page.get_by_role("button", name="Lend it…")).to_be_visible()


async def test_slot_is_locked_with_a_reason_and_its_card_reinserted(site: Site) -> None:
    async with peers.bank(site.service, 1, 4), peers.client(site.service, 7):
        await peers.map_slots(site.service, "C7:0", "B1:2")
        page = await site.enter()
        await page.goto(f"{site.address}/slots/B1:2")
        await live(page)
        await page.get_by_role("button", name="Reinsert the card").click()
        await page.get_by_role("button", name="Reinsert", exact=True).click()
        await expect(page.locator(".toast").last).to_contain_text("C7:0 gets its card inserted again.")
        await expect(page.locator("#history")).to_contain_text("mapping removed")
        await expect(page.locator("#head .state")).to_contain_text("in force")
        await page.get_by_role("button", name="Lock…").click()
        await page.get_by_label("Why").fill("contact trouble <b>")
        await page.keyboard.press("Enter")
        await expect(page.locator("#facts")).to_contain_text("contact trouble <b>")
        # What it has goes on; then nobody gets it.
        await expect(page.locator("#head .state")).to_contain_text("in force")
        await page.get_by_role("button", name="Unmap C7:0").click()
        await expect(page.locator("#head .state")).to_contain_text("locked: contact trouble <b>")
        assert await page.get_by_role("button", name="Give it to a client…").count() == 0
        await page.goto(site.address)
        await live(page)
        await expect(page.locator('[data-slot="B1:2"]')).to_have_attribute("data-state", "locked")
        await page.drag_and_drop('[data-slot="B1:2"] .pick', '[data-slot="C7:0"] .pick')
        await expect(page.locator(".toast.bad")).to_contain_text("B1:2 is locked: contact trouble <b>.")
        await page.goto(f"{site.address}/slots/B1:2")
        await live(page)
        await page.get_by_role("button", name="Unlock").click()
        await expect(page.get_by_role("button", name="Give it to a client…")).to_be_visible()


async def test_viewer_sees_leases_and_locks_and_no_button(site: Site) -> None:
    async with peers.bank(site.service, 1, 4), peers.client(site.service, 7):
        operator = await site.enter()
        await operator.goto(f"{site.address}/leases")
        await live(operator)
        await lend(operator, "B1:1", "C7:0")
        page = await site.enter(TokenRole.VIEWER)
        await page.goto(f"{site.address}/leases")
        await live(page)
        await expect(page.locator("#granted")).to_contain_text("B1:1")
        assert await page.locator("main button").count() == 0
        for path in ("/slots/B1:1", "/clients/C7:0"):
            await page.goto(f"{site.address}{path}")
            await live(page)
            assert await page.locator("#facts button").count() == 0


async def test_webhook_is_added_tested_paused_and_deleted(site: Site) -> None:
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        received.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        page = await site.enter(TokenRole.ADMIN)
        await page.goto(f"{site.address}/access")
        await live(page)
        await expect(page.locator("#webhooks")).to_contain_text("There are none")
        await page.get_by_label("Send events to").fill(f"http://127.0.0.1:{port}/hook")
        await page.get_by_label("Kinds").fill("labels_changed, lease_granted")
        await page.get_by_role("button", name="Add a webhook").click()
        await expect(page.locator("#webhook-secret")).not_to_be_empty()
        row = page.locator('[data-webhook="1"]')
        await expect(row).to_contain_text("labels changed, lease granted")
        await row.get_by_role("button", name="Test").click()
        await expect(page.locator(".toast").last).to_contain_text("Webhook 1 took the test.")
        await peers.label(site.service, "B1:2", "roaming")
        await expect(row).to_contain_text("labels changed: delivered")
        assert any(b"labels_changed" in body for body in received)
        await picture(page, "webhooks")
        await row.get_by_role("button", name="Pause").click()
        await expect(row).to_contain_text("paused")
        await peers.label(site.service, "B1:2", "home")
        await expect(row).to_contain_text("1 waiting")
        await row.get_by_role("button", name="Go on").click()
        await expect(row).to_contain_text("nothing waits")
        assert len(received) == 3
        await row.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.locator("#webhooks")).to_contain_text("There are none")
