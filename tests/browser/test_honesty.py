# SPDX-License-Identifier: Apache-2.0
"""What the page claims one second after a part was killed: nothing that is not so any more."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from remsim.config import ServerConfig
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.store.tokens import create_token
from tests.browser.conftest import PATIENCE_MS, live
from tests.browser.pictures import picture
from tests.doubles.programs import Program, remsim
from tests.doubles.quick_start import wait_until_ready

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: The page is asked this long after the kill.
_LOOK_MS = 1000
#: Eight views in one browser share two processors with other tests: one that is behind is looked at again.
_MORE_LOOKS = 16


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Installation:
    """Server, bankd with software cards, and client as programs of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.rspro, self.rest, self.bankd_port = free_ports(3)

    def server(self, *, is_open: bool = True) -> Program:
        """Start it; ``is_open``: nobody logs in."""
        return self._start(
            *("server", "--rspro", f"127.0.0.1:{self.rspro}", "--rest", f"127.0.0.1:{self.rest}"),
            *(["--rest-open"] if is_open else []),
            *("--plaintext", "--state", str(self._folder / "server")),
            until=r"\sstarted( |$)",
        )

    def token(self) -> str:
        """Make one that may see everything."""
        config = ServerConfig(state_dir=self._folder / "server")
        text, _ = create_token(config, name="test", role=TokenRole.ADMIN, scope=Scope())
        return text

    def bankd(self) -> Program:
        """Start it."""
        return self._start(
            *("bankd", "--server", f"127.0.0.1:{self.rspro}", "--bank-id", "1", "--slots", "2", "--reader", "sim"),
            *("--listen", f"127.0.0.1:{self.bankd_port}", "--plaintext", "--state", str(self._folder / "bankd")),
            until=r"\sstarted( |$)",
        )

    def client(self) -> Program:
        """Start it."""
        return self._start(
            *(
                "client",
                "shell",
                "--server",
                f"127.0.0.1:{self.rspro}",
                "--client",
                "7:0",
                "--plaintext",
                "--card-wait-s",
                "600",
            ),
            until=r"\sstarted( |$)",
        )

    def _start(self, *words: str, until: str) -> Program:
        program = self._stack.enter_context(Program(remsim(*words)))
        program.wait_for(until)
        return program


@pytest_asyncio.fixture(loop_scope="session")
async def installation(tmp_path: Path, quick_start: Path) -> AsyncIterator[Installation]:
    """All programs end with the test."""
    await asyncio.to_thread(wait_until_ready, quick_start)
    with ExitStack() as stack:
        yield Installation(tmp_path, stack)


async def look(chromium: Browser, installation: Installation) -> Page:
    """The overview of that server."""
    context = await chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{installation.rest}")
    await live(page)
    return page


async def test_every_part_that_is_killed_is_not_shown_as_there(chromium: Browser, installation: Installation) -> None:
    server = await asyncio.to_thread(installation.server)
    bankd = await asyncio.to_thread(installation.bankd)
    client = await asyncio.to_thread(installation.client)
    page = await look(chromium, installation)
    tile, row = page.locator('[data-slot="B1:1"]'), page.locator('[data-slot="C7:0"]')
    await page.drag_and_drop('[data-slot="B1:1"] .pick', '[data-slot="C7:0"] .pick')
    await expect(row).to_have_attribute("data-state", "active")

    client.send_signal(signal.SIGKILL)
    await page.wait_for_timeout(_LOOK_MS)
    assert await row.get_attribute("data-state") == "away"
    assert await tile.get_attribute("data-state") == "waiting"
    assert "client C7:0 is not connected" in await page.locator("#problems").inner_text()

    bankd.send_signal(signal.SIGKILL)
    await page.wait_for_timeout(_LOOK_MS)
    assert await tile.get_attribute("data-state") == "away"
    assert "not connected" in await page.locator("#h1").inner_text()
    assert await page.locator('[data-state="active"]').count() == 0

    client, bankd = await asyncio.to_thread(installation.client), await asyncio.to_thread(installation.bankd)
    await expect(row).to_have_attribute("data-state", "active")
    server.send_signal(signal.SIGKILL)
    await page.wait_for_timeout(_LOOK_MS)
    assert await page.locator("body").get_attribute("class") == "stale"
    assert "No word from the server since" in await page.locator("#broken").inner_text()
    assert await row.locator(".was").is_visible()
    await picture(page, "stale")
    # Nothing is ordered of a server that is not there.
    await page.drag_and_drop('[data-slot="B1:0"] .pick', '[data-slot="C7:0"] .pick')
    await expect(page.locator(".toast.bad")).to_contain_text("The server is not there now.")

    # While nobody can tell, the client goes; then the server comes back.
    client.send_signal(signal.SIGKILL)
    await asyncio.to_thread(client.wait)
    await asyncio.to_thread(installation.server)
    await live(page)
    await expect(page.locator("#broken")).to_be_hidden()
    assert await row.get_attribute("data-state") == "away"
    await expect(tile).to_have_attribute("data-state", "waiting")
    await page.context.close()


#: What each view says while all is well, after the client was killed, after the bankd, and after the server: selector,
#: and the text that must be there a second later. Every view says that the server is not heard.
CLAIMS: dict[str, dict[str, tuple[str, str]]] = {
    "/": {
        "client": ('[data-slot="C7:0"] .state', "not connected"),
        "bankd": ("#h1", "not connected"),
        "server": ('[data-slot="C7:0"] .was', "was"),
    },
    "/?view=table": {
        "client": ('[data-slot="B1:1"] .state', "client C7:0 is not connected"),
        "bankd": ('[data-slot="B1:1"] .state', "its bank is not connected"),
        "server": ('[data-slot="B1:1"] .was', "was"),
    },
    "/slots/B1:1": {
        "client": ("#head .state", "client C7:0 is not connected"),
        "bankd": ("#head .state", "its bank is not connected"),
        "server": ("#head .was", "was"),
    },
    "/clients/C7:0": {
        "client": ("#head .state", "not connected"),
        "bankd": ("#facts", "bank 1 is not connected"),
        "server": ("#head .was", "was"),
    },
    "/leases": {
        "client": ("#granted", "client C7:0 is not connected"),
        "bankd": ("#granted", "bank 1 is not connected"),
        "server": ("#granted .claim", "was: "),
    },
    "/activity": {
        "client": ("#events tr:first-child", "C7:0"),
        "bankd": ("#events tr:first-child", "peer lost"),
        "server": ("#broken", "What you see was so then."),
    },
    "/access": {
        "server": ("#codes .claim, #webhooks .claim, #tokens .claim", "was: "),
    },
    "/start": {
        "client": ("#said-client", ""),
        "bankd": ("#said-bank", ""),
        # Nothing is left of what it said.
        "server": ("#broken", "What you see was so then."),
    },
}
#: With what a style puts before it, which is read to those who do not see, too.
_TEXT = """element => {
  const before = getComputedStyle(element, '::before').content;
  return (before === 'none' || before === 'normal' ? '' : before.replace(/^"|"$/g, '')) + element.innerText;
}"""


async def claimed(page: Page, selector: str) -> str:
    """What all that is found says together."""
    return " | ".join([await one.evaluate(_TEXT) for one in await page.locator(selector).all()])


async def test_no_view_claims_what_is_not_so_any_more(chromium: Browser, installation: Installation) -> None:
    """Each view is open in a context of its own while server, bankd and client are killed one by one."""
    server = await asyncio.to_thread(installation.server, is_open=False)
    bankd = await asyncio.to_thread(installation.bankd)
    client = await asyncio.to_thread(installation.client)
    token = await asyncio.to_thread(installation.token)
    views: dict[str, Page] = {}
    for path in CLAIMS:
        context = await chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
        context.set_default_timeout(PATIENCE_MS)
        views[path] = await context.new_page()
        await views[path].goto(f"http://127.0.0.1:{installation.rest}/login?next={quote(path)}")
        await views[path].get_by_label("Access token").fill(token)
        await views[path].get_by_role("button", name="Log in").click()
        await live(views[path])
    order = views["/leases"]
    await order.get_by_label("Card", exact=True).fill("B1:1")
    await order.get_by_label("to", exact=True).fill("C7:0")
    await order.get_by_role("button", name="Lend", exact=True).click()
    await expect(views["/"].locator('[data-slot="C7:0"]')).to_have_attribute("data-state", "active")
    await expect(views["/start"].locator("#said-client")).to_have_text("done: C7:0 is connected")
    for name, program in (("client", client), ("bankd", bankd), ("server", server)):
        program.send_signal(signal.SIGKILL)
        await order.wait_for_timeout(_LOOK_MS)
        for path, page in views.items():
            if name not in CLAIMS[path]:
                continue
            selector, wanted = CLAIMS[path][name]
            said = await claimed(page, selector)
            for _ in range(_MORE_LOOKS):
                if said == "" if not wanted else wanted in said:
                    break
                await page.wait_for_timeout(_LOOK_MS / 4)
                said = await claimed(page, selector)
            assert wanted in said if wanted else said == "", (name, path, said)
            if name != "server":
                in_force = page.locator("#head, #banks, #clients, #granted").filter(has_text="in force")
                await expect(in_force).to_have_count(0)
        for path, page in views.items() if name == "server" else ():
            assert await page.locator("body").get_attribute("class") == "stale", path
            assert "No word from the server since" in await page.locator("#broken").inner_text(), path
    for page in views.values():
        await page.context.close()


async def test_server_that_hangs_is_noticed_by_its_silence(chromium: Browser, installation: Installation) -> None:
    server = await asyncio.to_thread(installation.server)
    page = await look(chromium, installation)
    server.send_signal(signal.SIGSTOP)
    await expect(page.locator("#broken")).to_be_visible()
    server.send_signal(signal.SIGCONT)
    await live(page)
    await expect(page.locator("#broken")).to_be_hidden()
    await page.context.close()
