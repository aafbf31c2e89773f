# SPDX-License-Identifier: Apache-2.0
"""By keyboard alone: orders in every view, dialogs, and where the focus is when what had it is gone."""

import pytest
from playwright.async_api import Page, expect

from remsim.server.core.tokens import TokenRole
from tests.browser import peers
from tests.browser.conftest import Site, live

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def focus_is_in(page: Page, selector: str) -> None:
    """What has the focus is part of this."""
    await expect(page.locator(f"{selector}:focus-within, {selector}:focus")).to_have_count(1)


async def test_slot_is_locked_unlocked_and_unmapped_without_losing_the_focus(site: Site) -> None:
    async with peers.bank(site.service, 1, 4), peers.client(site.service, 7):
        await peers.map_slots(site.service, "C7:0", "B1:2")
        page = await site.enter()
        await page.goto(f"{site.address}/slots/B1:2")
        await live(page)
        await page.get_by_role("button", name="Lock…").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        await expect(page.get_by_role("button", name="Lock…")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.type("worn")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Unlock")).to_be_visible()
        await focus_is_in(page, "#facts")
        await page.get_by_role("button", name="Reinsert the card").focus()
        await page.keyboard.press("Enter")
        # Enter once more is not the order.
        await expect(page.locator("dialog").get_by_role("button", name="Cancel")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        await page.get_by_role("button", name="Unmap C7:0").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Unmap C7:0")).to_have_count(0)
        await focus_is_in(page, "#facts")
        await expect(page.locator(".undo").last).to_be_visible()
        await page.keyboard.press("z")
        await expect(page.get_by_role("button", name="Unmap C7:0")).to_have_count(0)
        await expect(page.locator(".toast.bad")).to_contain_text("locked")


async def test_last_order_is_taken_back_and_keys_are_listed(site: Site) -> None:
    async with peers.bank(site.service, 1, 4), peers.client(site.service, 7):
        page = await site.overview()
        await page.keyboard.press("?")
        keys = page.get_by_role("dialog", name="Keys")
        await expect(keys.locator("dt")).to_have_text(
            ["/", "↑ ↓ ← →", "Home End", "Enter", "m", "u", "Space", "z", "Esc", "?"]
        )
        # What is open keeps other keys from working behind it.
        await page.keyboard.press("m")
        await expect(page.locator("dialog[open]")).to_have_count(1)
        await page.keyboard.press("Escape")
        await expect(keys).to_be_hidden()
        await page.keyboard.press("m")
        await page.keyboard.type("c7")
        await page.keyboard.press("Enter")
        await page.keyboard.type("b1:1")
        await page.keyboard.press("Enter")
        await expect(page.locator('[data-slot="B1:1"]')).to_have_attribute("data-to", "C7:0")
        await expect(page.locator(".undo")).to_be_visible()
        await page.keyboard.press("z")
        await expect(page.locator('[data-slot="B1:1"]')).not_to_have_attribute("data-to", "C7:0")
        viewer = await site.overview(TokenRole.VIEWER)
        await viewer.get_by_role("button", name="Keys").click()
        await expect(viewer.get_by_role("dialog", name="Keys").locator("dt")).to_have_text(
            ["/", "↑ ↓ ← →", "Home End", "Enter", "Esc", "?"]
        )


async def test_slot_that_leaves_the_filter_or_the_page_hands_the_focus_on(site: Site) -> None:
    async with peers.bank(site.service, 1, 4) as bank, peers.client(site.service, 7):
        for number in range(4):
            peers.says_card(bank, 1, number, is_there=True, client=peers.NOBODY)
        page = await site.overview()
        await page.locator('[data-filter-state="free"]').click()
        await page.locator('[data-slot="B1:1"] .pick').focus()
        await page.keyboard.press("m")
        await page.keyboard.type("c7")
        await page.keyboard.press("Enter")
        await expect(page.locator('[data-slot="B1:1"]')).to_be_hidden()
        await expect(page.locator('[data-slot="B1:2"] .pick')).to_be_focused()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator('[data-slot="B1:3"] .pick')).to_be_focused()


async def test_webhook_is_deleted_and_the_focus_stays_near(site: Site) -> None:
    page = await site.enter(TokenRole.ADMIN)
    await page.goto(f"{site.address}/access")
    await live(page)
    for number in (1, 2):
        await page.get_by_label("Send events to").fill(f"https://hooks.invalid/{number}")
        await page.keyboard.press("Enter")
        await expect(page.locator(f'[data-webhook="{number}"]')).to_be_visible()
    await page.locator('[data-webhook="1"]').get_by_role("button", name="Delete").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator('[data-webhook="1"]')).to_have_count(0)
    await focus_is_in(page, "#webhooks")
