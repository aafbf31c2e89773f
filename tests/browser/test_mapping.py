# SPDX-License-Identifier: Apache-2.0
"""Mapping by drag, by two clicks and by keyboard; unmapping; taking it back."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from remsim.core.ids import BankSlot, ClientSlot
from tests.browser import peers
from tests.browser.conftest import Site
from tests.browser.pictures import picture

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def page(site: Site) -> AsyncIterator[Page]:
    """The overview of a bank with eight slots and of two clients."""
    async with (
        peers.bank(site.service, 1),
        peers.client(site.service, 7, name="modem-7"),
        peers.client(site.service, 8, name="modem-8"),
    ):
        yield await site.overview()


def mapped(site: Site) -> dict[str, str]:
    """What the server has."""
    assert site.service.runtime is not None
    return {str(info.client): str(info.bank) for info in site.service.runtime.query.mappings(_all)}


def _all(_bank: BankSlot, _client: ClientSlot) -> bool:
    return True


async def is_active(page: Page, card: str, client: str) -> None:
    """The page shows that this client has this card, in force."""
    for one, other in ((card, client), (client, card)):
        item = page.locator(f'[data-slot="{one}"]')
        await expect(item).to_have_attribute("data-to", other)
        await expect(item).to_have_attribute("data-state", "active")


async def test_drag_of_a_card_to_a_client_maps_them(site: Site, page: Page) -> None:
    await page.drag_and_drop('[data-slot="B1:3"] .pick', '[data-slot="C7:0"] .pick')
    await is_active(page, "B1:3", "C7:0")
    await expect(page.locator(".toast")).to_contain_text("C7:0 has B1:3 now.")
    assert mapped(site) == {"C7:0": "B1:3"}
    await page.drag_and_drop('[data-slot="C8:0"] .pick', '[data-slot="B1:4"] .pick')
    await is_active(page, "B1:4", "C8:0")


async def test_two_clicks_map_and_replace_and_undo_takes_it_back(site: Site, page: Page) -> None:
    await page.locator('[data-slot="B1:2"] .pick').click()
    await expect(page.locator("#picked")).to_contain_text("B1:2 is chosen. Click a client to map, or press m.")
    await page.locator('[data-slot="C7:0"] .pick').click()
    await is_active(page, "B1:2", "C7:0")
    await page.locator('[data-slot="C7:0"] .pick').click()
    await page.locator('[data-slot="B1:5"] .pick').click()
    await is_active(page, "B1:5", "C7:0")
    await picture(page, "undo")
    await page.locator(".toast").filter(has_text="instead of B1:2").get_by_role("button", name="Undo").click()
    await is_active(page, "B1:2", "C7:0")
    assert mapped(site) == {"C7:0": "B1:2"}


async def test_keyboard_alone_maps_and_unmaps(site: Site, page: Page) -> None:
    # The tabulator stops once in each list; arrows go on from there.
    await page.get_by_role("button", name="Table").focus()
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.closest('.tile').dataset.slot") == "B1:0"
    for key in ("ArrowRight", "ArrowRight", "Home", "ArrowRight"):
        await page.keyboard.press(key)
    assert await page.evaluate("document.activeElement.closest('.tile').dataset.slot") == "B1:1"
    await page.keyboard.press("m")
    await picture(page, "map-by-keyboard")
    await page.keyboard.type("modem-8")
    await page.keyboard.press("Enter")
    await is_active(page, "B1:1", "C8:0")
    assert mapped(site) == {"C8:0": "B1:1"}
    assert await page.evaluate("document.activeElement.closest('.tile').dataset.slot") == "B1:1"
    await page.keyboard.press("u")
    await expect(page.locator('[data-slot="C8:0"]')).to_have_attribute("data-state", "free")
    assert mapped(site) == {}


async def test_keyboard_without_a_choice_asks_for_both(site: Site, page: Page) -> None:
    await page.keyboard.press("m")
    await page.keyboard.type("c7")
    await page.keyboard.press("Enter")
    await page.keyboard.type("b1:6")
    await page.keyboard.press("Enter")
    await is_active(page, "B1:6", "C7:0")
    assert mapped(site) == {"C7:0": "B1:6"}


async def test_unmapping_is_taken_back_by_undo(site: Site, page: Page) -> None:
    await page.drag_and_drop('[data-slot="B1:3"] .pick', '[data-slot="C7:0"] .pick')
    await is_active(page, "B1:3", "C7:0")
    await page.locator('[data-slot="B1:3"] .pick').click()
    await page.get_by_role("button", name="Unmap").click()
    await expect(page.locator('[data-slot="C7:0"]')).to_have_attribute("data-state", "free")
    assert mapped(site) == {}
    await page.locator(".toast").filter(has_text="was taken").get_by_role("button", name="Undo").click()
    await is_active(page, "B1:3", "C7:0")


async def test_card_that_is_in_use_is_refused_in_words(site: Site, page: Page) -> None:
    await page.drag_and_drop('[data-slot="B1:3"] .pick', '[data-slot="C7:0"] .pick')
    await is_active(page, "B1:3", "C7:0")
    await page.drag_and_drop('[data-slot="B1:3"] .pick', '[data-slot="C8:0"] .pick')
    await expect(page.locator(".toast.bad")).to_contain_text("B1:3")
    assert mapped(site) == {"C7:0": "B1:3"}
