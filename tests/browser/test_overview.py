# SPDX-License-Identifier: Apache-2.0
"""The overview: what comes and goes while one looks, filters, labels for many slots, and what others may write."""

from itertools import pairwise

import pytest
from playwright.async_api import expect

from remsim.core.ids import ClientSlot
from remsim.server.core.tokens import Scope, TokenRole
from tests.browser import peers
from tests.browser.conftest import Site, live
from tests.browser.pictures import picture

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_client_and_bank_that_connect_appear_in_their_places(site: Site) -> None:
    page = await site.overview()
    await expect(page.locator(".bank")).to_have_count(0)
    async with peers.bank(site.service, 3, 2), peers.bank(site.service, 1, 4), peers.client(site.service, 8):
        await expect(page.locator(".bank")).to_have_count(2)
        assert await page.locator(".bank").evaluate_all("all => all.map(one => one.id)") == ["bank1", "bank3"]
        async with peers.client(site.service, 7, name="early"):
            await expect(page.locator(".client")).to_have_count(2)
            shown = await page.locator(".client").evaluate_all("all => all.map(one => one.dataset.slot)")
            assert shown == ["C7:0", "C8:0"]
            await expect(page.locator('[data-slot="C7:0"]')).to_contain_text("early")
        await expect(page.locator('[data-slot="C7:0"]')).to_have_attribute("data-state", "away")


async def test_names_of_peers_are_text_and_nothing_else(site: Site) -> None:
    script, image = "<script>alert(1)</script>", "<img src=x onerror=alert(2)>"
    page = await site.enter()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    async with peers.bank(site.service, 1, 2, name=script):
        await page.goto(site.address)
        await live(page)
        async with peers.client(site.service, 7, name=image):
            await expect(page.locator('[data-slot="C7:0"] .name')).to_have_text(image)
            await expect(page.locator("#h1 .name")).to_have_text(script)
            assert await page.locator("main script, main img[src=x]").count() == 0
            assert dialogs == []


async def test_filter_search_and_labels_for_all_that_is_shown(site: Site) -> None:
    assert site.service.runtime is not None
    async with peers.bank(site.service, 1, 6), peers.bank(site.service, 2, 6), peers.client(site.service, 7):
        await peers.map_slots(site.service, "C7:0", "B1:2")
        page = await site.overview()
        await expect(page.locator("#found")).to_have_text("12 slots")
        await page.locator("#filter-bank").select_option("2")
        await expect(page.locator("#found")).to_have_text("6 of 12 slots")
        await page.get_by_role("button", name="Change these…").click()
        await page.get_by_role("button", name="Label 6 slots…").click()
        await page.get_by_label("Add this label").fill("roaming <b>")
        await page.keyboard.press("Enter")
        await expect(page.locator(".toast")).to_contain_text("6 slots have other labels now.")
        await expect(page.locator('[data-bank="2"] .what').first).to_have_text("roaming <b>")
        query = site.service.runtime.query
        assert [query.labels(f"B2:{number}") for number in range(6)] == [("roaming <b>",)] * 6
        assert query.labels("B1:0") == ()
        await page.reload()
        await live(page)
        await expect(page.locator("#found")).to_have_text("6 of 12 slots")
        await page.locator("#filter-bank").select_option("")
        await page.keyboard.press("/")
        await page.keyboard.type("c7")
        await expect(page.locator("#found")).to_have_text("1 of 12 slots")
        await page.keyboard.press("Escape")
        await page.locator("#filter-label").select_option("roaming <b>")
        await expect(page.locator("#found")).to_have_text("6 of 12 slots")
        await page.get_by_role("button", name="Table").click()
        await picture(page, "overview-table")


async def test_filter_shows_a_screenful_at_once_and_the_rest_in_further_pictures(site: Site) -> None:
    count = """async () => {
      const shown = () => document.querySelectorAll('.tile:not([hidden])').length;
      const counts = [shown()];
      const bank = document.getElementById('filter-bank');
      bank.value = '';
      bank.dispatchEvent(new Event('change'));
      for (let still = 0; still < 10; still += counts.at(-1) === counts.at(-2)) {
        await new Promise(requestAnimationFrame);
        counts.push(shown());
      }
      return counts;
    }"""
    async with peers.bank(site.service, 1, 400), peers.bank(site.service, 2, 4), peers.client(site.service, 7):
        await peers.map_slots(site.service, "C7:0", "B2:1")
        page = await site.overview()
        await page.locator("#filter-bank").select_option("2")
        await expect(page.locator(".tile:visible")).to_have_count(4)
        counts: list[int] = await page.evaluate(count)
        assert (counts[0], counts[-1]) == (4, 404)
        most = max(after - before for before, after in pairwise(counts))
        assert most < 200, f"{most} slots in one picture"
        # Who orders something for all that is shown need not wait for the pictures.
        await page.locator("#search").fill("b1:")
        await expect(page.locator("#found")).to_have_text("400 of 404 slots")
        await page.evaluate("document.getElementById('bulk').click()")
        await page.get_by_role("button", name="Label 400 slots…").click()
        await expect(page.locator("#labeller-text")).to_have_text("400 slots are shown by the filter.")


async def test_bulk_labels_are_taken_back(site: Site) -> None:
    assert site.service.runtime is not None
    async with peers.bank(site.service, 1, 3):
        page = await site.overview()
        await page.locator("#filter-bank").select_option("1")
        await page.get_by_role("button", name="Change these…").click()
        await page.get_by_role("button", name="Label 3 slots…").click()
        await page.get_by_label("Add this label").fill("x")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Undo").click()
        await expect(page.locator(".toast").last).to_contain_text("The labels are as they were.")
        assert site.service.runtime.query.all_labels() == {}


async def test_what_belongs_together_is_shown_on_hover_and_focus(site: Site) -> None:
    async with peers.bank(site.service, 1), peers.client(site.service, 7), peers.client(site.service, 8):
        await peers.map_slots(site.service, "C8:0", "B1:5")
        page = await site.overview()
        await page.locator('[data-slot="B1:5"]').hover()
        await expect(page.locator(".client.joined")).to_have_attribute("data-slot", "C8:0")
        assert await page.locator("#links path").get_attribute("d")
        await page.locator('[data-slot="C7:0"]').hover()
        await expect(page.locator(".joined")).to_have_count(0)
        await page.locator('[data-slot="C8:0"] .pick').focus()
        await expect(page.locator(".tile.joined")).to_have_attribute("data-slot", "B1:5")


async def test_problems_come_first_and_clear_themselves(site: Site) -> None:
    async with peers.bank(site.service, 1) as bank, peers.client(site.service, 7):
        await peers.map_slots(site.service, "C7:0", "B1:3")
        page = await site.overview()
        await expect(page.locator("#problems")).to_contain_text("No problems known.")
        peers.says_card(bank, 1, 3, is_there=False, client=ClientSlot(7, 0))
        line = page.locator("#problems li")
        await expect(line).to_contain_text("there is no card in the slot, or no reader")
        await expect(line).to_contain_text("put the card back, or give the client another one")
        await expect(line).to_contain_text("says B1")
        await expect(page.locator('[data-slot="B1:3"]')).to_have_attribute("data-state", "problem")
        await picture(page, "problem")
        peers.says_card(bank, 1, 3, is_there=True, client=ClientSlot(7, 0))
        await expect(page.locator("#problems")).to_contain_text("No problems known.")


async def test_viewer_sees_everything_and_no_button_that_changes_anything(site: Site) -> None:
    async with peers.bank(site.service, 1), peers.client(site.service, 7):
        page = await site.overview(TokenRole.VIEWER)
        await expect(page.locator(".tile")).to_have_count(8)
        assert await page.locator(".pick, #bulk, #changer, #mapper, #labeller, #picked, [draggable=true]").count() == 0
        await page.keyboard.press("m")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        await expect(page.get_by_role("link", name="Access")).to_have_count(0)


async def test_limited_token_sees_nothing_of_others(site: Site) -> None:
    scope = Scope(frozenset({1}), frozenset({7}))
    async with peers.bank(site.service, 1), peers.bank(site.service, 2, name="other"), peers.client(site.service, 7):
        page = await site.overview(TokenRole.OPERATOR, scope)
        async with peers.client(site.service, 8, name="secret"):
            everything = await site.overview()
            await expect(everything.locator('[data-slot="C8:0"]')).to_have_count(1)
            await peers.map_slots(site.service, "C8:0", "B1:0")
            await peers.map_slots(site.service, "C7:0", "B1:1")
            await expect(page.locator('[data-slot="C7:0"]')).to_have_attribute("data-to", "B1:1")
            text = await page.content()
        for foreign in ("C8:0", "secret", "other", "B2:", "bank2"):
            assert foreign not in text, foreign
