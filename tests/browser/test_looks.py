# SPDX-License-Identifier: Apache-2.0
"""Every view: for everybody (axe), on a telephone, dark, without motion, and with no way out of the page's policy."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from remsim.core.ids import ClientSlot
from remsim.server.core.tokens import TokenRole
from tests.browser import peers
from tests.browser.conftest import PHONE, WIDE, Scheme, Site, live
from tests.browser.pictures import outline, picture

pytestmark = pytest.mark.asyncio(loop_scope="session")

_AXE = (Path(__file__).parent / "vendored" / "axe.min.js").read_text(encoding="utf-8")
#: The views; a stream keeps each up to date.
VIEWS = {
    "overview": "/",
    "table": "/?view=table",
    "slot": "/slots/B1:3",
    "client": "/clients/C7:0",
    "leases": "/leases",
    "activity": "/activity",
    "access": "/access",
    "start": "/start",
}
#: Numbers all that the tabulator should stop at, and counts it.
_COUNT_STOPS = """() => {
  const all = document.querySelectorAll('a[href], button, input, select, summary, [tabindex]');
  const stops = [...all].filter(one => one.tabIndex >= 0 && !one.disabled && one.checkVisibility());
  stops.forEach((one, nr) => { one.nr = nr; });
  document.activeElement?.blur();
  return stops.length;
}"""
_FOCUSED = """() => {
  const one = document.activeElement;
  const styles = [getComputedStyle(one), getComputedStyle(one, '::after')];
  const outline = styles.map(style => style.outlineStyle).find(style => style !== 'none') ?? 'none';
  return { is: one.tagName === 'BODY' ? 'BODY' : one.outerHTML.slice(0, 80), nr: one.nr ?? -1, outline };
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def full(site: Site) -> AsyncIterator[Site]:
    """A site with something of everything."""
    async with AsyncExitStack() as stack:
        bank = await stack.enter_async_context(peers.bank(site.service, 1, 24, name="rack-a"))
        await stack.enter_async_context(peers.bank(site.service, 2, 12, name="rack-b"))
        for number in range(7, 15):
            await stack.enter_async_context(peers.client(site.service, number, name=f"modem-{number}"))
        async with peers.client(site.service, 20, name="gone"):
            for number in range(5):
                await peers.map_slots(site.service, f"C{7 + number}:0", f"B1:{number}")
            await peers.map_slots(site.service, "C20:0", "B2:0")
        assert site.service.runtime is not None
        for number in range(3, 9):
            await peers.label(site.service, f"B1:{number}", "roaming")
        peers.says_card(bank, 1, 2, is_there=False, client=ClientSlot(9, 0))
        for number in range(10, 16):
            peers.says_card(bank, 1, number, is_there=number % 2 == 0, client=ClientSlot(0, 0))
        await bank.drained()
        yield site


async def axe(page: Page) -> list[str]:
    """What is wrong for people who do not see, or use no mouse."""
    await page.evaluate(_AXE)
    found = json.loads(await page.evaluate("axe.run().then(found => JSON.stringify(found.violations))"))
    return [
        f"{one['id']}: {one['help']}: " + "; ".join(node["html"][:120] for node in one["nodes"][:3]) for one in found
    ]


async def go(page: Page, site: Site, view: str) -> None:
    """Open a view and wait until it is up to date."""
    await page.goto(f"{site.address}{VIEWS[view]}")
    await live(page)
    await expect(page.locator("main")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("part", [0, 1])
async def test_every_view_is_for_everybody_and_fits(
    full: Site, part: int, size: tuple[int, int], scheme: Scheme
) -> None:
    page = await full.enter(TokenRole.ADMIN, size=size, scheme=scheme)
    wrong: dict[str, list[str]] = {}
    for view in list(VIEWS)[part::2]:
        await go(page, full, view)
        await picture(page, f"{view}-{scheme}")
        found = await axe(page)
        width = await page.evaluate("document.documentElement.scrollWidth")
        if width > size[0]:
            found.append(f"it is {width} wide")
        if found:
            wrong[view] = found
    assert not wrong, "\n".join(f"{view}: {text}" for view, found in wrong.items() for text in found)


async def test_nothing_is_cut_off_at_360_pixels(full: Site) -> None:
    page = await full.enter(TokenRole.ADMIN, size=(360, 740))
    for view in VIEWS:
        await go(page, full, view)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, view


async def test_tabulator_reaches_everything_and_shows_where_it_is(full: Site) -> None:
    page = await full.enter(TokenRole.ADMIN)
    for view in VIEWS:
        await go(page, full, view)
        # What is pressed in the page, but for those in lists that arrow keys move in; and all that has no name.
        wanted: int = await page.evaluate(_COUNT_STOPS)
        reached: set[int] = set()
        for _ in range(wanted + 5):
            await page.keyboard.press("Tab")
            found = await page.evaluate(_FOCUSED)
            if found["is"] == "BODY":
                break
            assert found["outline"] != "none", f"{view}: nothing shows that {found['is']} has the focus"
            reached.add(found["nr"])
        assert reached >= set(range(wanted)), view


async def test_login_is_for_everybody(site: Site) -> None:
    for scheme in ("light", "dark"):
        page = await site.browser(scheme=scheme)
        await page.goto(f"{site.address}/login?why=token_revoked")
        assert await axe(page) == []
        await picture(page, f"login-{scheme}")


async def test_nothing_moves_for_who_wants_that(full: Site) -> None:
    page = await full.enter(motion="reduce")
    await go(page, full, "overview")
    moving = "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).transitionDuration !== '0s').length"
    assert await page.evaluate(moving) == 0
    still = await full.enter()
    await go(still, full, "overview")
    assert await still.evaluate(moving) > 0


async def test_updates_move_nothing_that_one_aims_at(full: Site) -> None:
    page = await full.enter()
    await go(page, full, "overview")
    before = await page.locator('[data-slot="B1:20"]').bounding_box()
    async with peers.client(full.service, 30), peers.bank(full.service, 5, 4):
        await peers.map_slots(full.service, "C30:0", "B1:22")
        await expect(page.locator('[data-slot="B1:22"]')).to_have_attribute("data-state", "active")
        await expect(page.locator("#bank5")).to_be_visible()
        assert await page.locator('[data-slot="B1:20"]').bounding_box() == before


async def test_a_word_that_is_another_one_is_told_from_the_manuals_picture(site: Site) -> None:
    page = await site.overview()
    before = await outline(page)
    assert await outline(page) == before
    await page.get_by_role("link", name="Leases").first.evaluate("link => { link.textContent = 'Loans' }")
    assert await outline(page) != before
