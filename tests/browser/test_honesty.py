# SPDX-License-Identifier: Apache-2.0
"""What the page claims one second after a part was killed: nothing that is not so any more."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE_MS, live, picture
from tests.doubles.programs import Program, remsim

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: The page is asked this long after the kill.
_LOOK_MS = 1000


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

    def server(self) -> Program:
        """Start it."""
        return self._start(
            *("server", "--rspro", f"127.0.0.1:{self.rspro}", "--rest", f"127.0.0.1:{self.rest}", "--rest-open"),
            *("--plaintext", "--state", str(self._folder / "server")),
            until=r"\sstarted( |$)",
        )

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
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    """All programs end with the test."""
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


async def test_server_that_hangs_is_noticed_by_its_silence(chromium: Browser, installation: Installation) -> None:
    server = await asyncio.to_thread(installation.server)
    page = await look(chromium, installation)
    server.send_signal(signal.SIGSTOP)
    await expect(page.locator("#broken")).to_be_visible()
    server.send_signal(signal.SIGCONT)
    await live(page)
    await expect(page.locator("#broken")).to_be_hidden()
    await page.context.close()
