# SPDX-License-Identifier: Apache-2.0
"""One order for all slots that a filter shows: locked, unlocked, unmapped and taken back, by keyboard alone."""

import pytest
from playwright.async_api import Page, expect

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import Actor
from tests.browser import peers
from tests.browser.conftest import PHONE, Site
from tests.browser.pictures import picture
from tests.browser.test_looks import axe

pytestmark = pytest.mark.asyncio(loop_scope="session")

_OTHER = Actor("another", "-")


async def press(page: Page, *keys: str) -> None:
    """One after the other."""
    for key in keys:
        await page.keyboard.press(key)


async def offers(page: Page) -> list[str]:
    """Open the dialog from its button; what it offers to do, without what it cannot."""
    # A button that is still disabled takes no focus.
    await expect(page.locator("#bulk")).to_be_enabled()
    await page.locator("#bulk").focus()
    await press(page, "Enter")
    await expect(page.get_by_role("dialog", name="Change these")).to_be_visible()
    return await page.locator("#changer [data-bulk]:enabled").all_inner_texts()


def locks(site: Site) -> dict[str, str]:
    """The reasons, by the slots."""
    assert site.service.runtime is not None
    return {str(lock.bank): lock.reason for lock in site.service.runtime.query.locks()}


def mappings(site: Site) -> dict[str, str]:
    """Bank slots, by the clients that have them."""
    assert site.service.runtime is not None
    return {str(found.client): str(found.bank) for found in site.service.runtime.query.mappings(lambda *_: True)}


async def test_all_that_is_shown_is_locked_unlocked_and_both_are_taken_back(site: Site) -> None:
    assert site.service.runtime is not None
    runtime = site.service.runtime
    async with peers.bank(site.service, 1, 4), peers.bank(site.service, 2, 3):
        page = await site.overview()
        await expect(page.locator("#bulk")).to_be_disabled()
        await page.locator("#filter-bank").select_option("1")
        assert await offers(page) == ["Label 4 slots…", "Lock 4 slots…"]
        await expect(page.locator("#changer [data-bulk]:disabled")).to_have_text(
            ["Unlock: none is locked", "Unmap: none has a client"]
        )
        assert await axe(page) == []
        await picture(page, "change-these")
        # Locked by another one while the dialog is open: stays as that one wants it.
        await runtime.lock_slot(BankSlot(1, 2), "bent", _OTHER)
        await press(page, "Tab", "Enter")
        dialog = page.get_by_role("dialog", name="Lock 4 slots")
        await expect(dialog.get_by_label("Why")).to_be_focused()
        await page.keyboard.type("worn")
        await picture(page, "lock-these")
        await press(page, "Enter")
        await expect(page.locator(".toast")).to_contain_text("3 slots are locked now.")
        assert locks(site) == {"B1:0": "worn", "B1:1": "worn", "B1:2": "bent", "B1:3": "worn"}
        await picture(page, "lock-these-done")
        await runtime.unlock_slot(BankSlot(1, 0), _OTHER)
        await runtime.lock_slot(BankSlot(1, 1), "cleaned", _OTHER)
        await press(page, "z")
        await expect(page.locator(".toast").last).to_contain_text("1 slot is not locked any more.")
        assert locks(site) == {"B1:1": "cleaned", "B1:2": "bent"}
        await expect(page.locator(".tile[data-locked]")).to_have_count(2)

        assert await offers(page) == ["Label 4 slots…", "Lock 2 slots…", "Unlock 2 slots"]
        await press(page, "Tab", "Tab", "Enter")
        await expect(page.locator(".toast").last).to_contain_text("2 slots are not locked any more.")
        assert locks(site) == {}
        await press(page, "z")
        await expect(page.locator(".toast").last).to_contain_text("2 slots are locked again.")
        assert locks(site) == {"B1:1": "cleaned", "B1:2": "bent"}


async def test_all_that_is_shown_is_unmapped_and_mapped_again(site: Site) -> None:
    assert site.service.runtime is not None
    async with peers.bank(site.service, 1, 4), peers.bank(site.service, 2, 2):
        before = {"C7:0": "B1:0", "C8:0": "B1:1", "C9:0": "B1:3"}
        for client, bank in {**before, "C10:0": "B2:0"}.items():
            await peers.map_slots(site.service, client, bank)
        page = await site.overview(size=PHONE)
        await page.locator("#filter-bank").select_option("1")
        assert await offers(page) == ["Label 4 slots…", "Lock 4 slots…", "Unmap 3 slots…"]
        assert await axe(page) == []
        await picture(page, "change-these")
        await press(page, "Tab", "Tab", "Enter")
        question = page.get_by_role("dialog", name="Unmap 3 slots?")
        await expect(question.get_by_role("button", name="Cancel")).to_be_focused()
        # Enter once more is not the order, and the focus is where it was.
        await press(page, "Enter")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        await expect(page.locator("#bulk")).to_be_focused()
        assert len(mappings(site)) == 4
        await offers(page)
        await press(page, "Tab", "Tab", "Enter")
        assert await axe(page) == []
        await picture(page, "unmap-these")
        await press(page, "Shift+Tab", "Enter")
        await expect(page.locator(".toast")).to_contain_text("3 slots are unmapped now.")
        assert mappings(site) == {"C10:0": "B2:0"}
        # One gets another card before all are mapped again: it keeps that one.
        await peers.map_slots(site.service, "C8:0", "B2:1")
        await press(page, "z")
        toast = page.locator(".toast.bad")
        await expect(toast).to_contain_text("2 clients have their cards again. 1 refused: C8:0 has got a card again")
        assert mappings(site) == {**before, "C8:0": "B2:1", "C10:0": "B2:0"}
        await picture(page, "unmap-taken-back")


async def test_what_has_gone_elsewhere_while_the_question_was_open_is_left_alone(site: Site) -> None:
    assert site.service.runtime is not None
    async with peers.bank(site.service, 1, 4):
        await peers.map_slots(site.service, "C7:0", "B1:0")
        await peers.map_slots(site.service, "C8:0", "B1:1")
        page = await site.overview()
        await page.locator('[data-filter-state="waiting"]').click()
        await expect(page.locator("#found")).to_have_text("2 of 4 slots")
        await offers(page)
        await press(page, "Tab", "Tab", "Enter")
        await site.service.runtime.change_mappings(
            [ClientSlot(8, 0)], [(BankSlot(1, 3), ClientSlot(8, 0))], Actor("another", "-")
        )
        await press(page, "Shift+Tab", "Enter")
        await expect(page.locator(".toast")).to_contain_text("1 slot is unmapped now.")
        assert mappings(site) == {"C8:0": "B1:3"}


async def test_the_filter_gets_the_focus_when_nothing_is_left_that_it_shows(site: Site) -> None:
    async with peers.bank(site.service, 1, 3) as bank:
        for number in range(3):
            peers.says_card(bank, 1, number, is_there=True, client=peers.NOBODY)
        page = await site.overview()
        free = page.locator('[data-filter-state="free"]')
        await free.click()
        await expect(page.locator("#found")).to_have_text("3 of 3 slots")
        await offers(page)
        await press(page, "Tab", "Enter")
        await page.keyboard.type("worn")
        await press(page, "Enter")
        await expect(page.locator("#found")).to_have_text("0 of 3 slots")
        await expect(free).to_be_focused()
        await press(page, "z")
        await expect(page.locator("#found")).to_have_text("3 of 3 slots")
        assert locks(site) == {}
