# SPDX-License-Identifier: Apache-2.0
"""The page of a large installation while many look at it: what the browser takes to react, what the server pays.

A real server process with bankds and clients from here, changes at a steady rate, viewers that read their streams, and
one Chromium, in which somebody clicks and types. The time of an interaction is the browser's own (Event Timing): from
the input to the next picture on the screen; it comes in steps of 8 ms.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import httpx2
import psutil
from playwright.async_api import Page, async_playwright

from bench import tables
from bench.tables import Cell
from remsim.config import HostPort
from remsim.core.ids import BankSlot, ClientSlot
from remsim.net.runtime.process import raise_open_file_limit
from remsim.net.runtime.tasks import TaskOwner
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, ResultCode
from tests.doubles.obedient_peer import ObedientPeer
from tests.doubles.programs import Program, remsim

_BANKS: Final = 5
_LISTENING: Final = r"\blistening\b.* rspro=127\.0\.0\.1:(\d+) rest=127\.0\.0\.1:(\d+)"
_CHROMIUM: Final = "/usr/bin/chromium"
#: What is measured, in the page: the longest event of each interaction.
_OBSERVE: Final = """
window.measured = [];
new PerformanceObserver(list => {
  for (const one of list.getEntries()) if (one.interactionId) window.measured.push([one.interactionId, one.duration]);
}).observe({type: 'event', durationThreshold: 16, buffered: true});
"""


class Installation:
    """Bankds and clients that are connected to one server."""

    def __init__(self, rspro: HostPort, stack: AsyncExitStack) -> None:
        self._rspro = rspro
        self._stack = stack
        self._banks: list[ObedientPeer] = []

    async def connect(self, slots: int, clients: int) -> None:
        """Connect them all."""
        tasks = await self._stack.enter_async_context(TaskOwner("peers"))
        self._stack.callback(tasks.cancel)
        for number in range(1, _BANKS + 1):
            bank = await ObedientPeer(ComponentType.REMSIM_BANKD, is_own=True).dial(self._rspro)
            request = rspro.ConnectBankReq(bank.identity, number, slots // _BANKS)
            assert await bank.introduce(request) is ResultCode.OK
            tasks.vital(bank.obey(), name="bank")
            self._banks.append(bank)
        for number in range(clients):
            client = await ObedientPeer(ComponentType.REMSIM_CLIENT, is_own=True).dial(self._rspro)
            slot = ClientSlot(number, 0)
            assert await client.introduce(rspro.ConnectClientReq(client.identity, slot)) is ResultCode.OK
            tasks.vital(client.obey(), name="client")

    async def change(self, rate: float, slots: int) -> None:
        """Let cards come and go, until cancelled."""
        turn, begun = 0, time.perf_counter()
        while True:
            bank, slot = turn % _BANKS, (turn // _BANKS) % (slots // _BANKS)
            status = rspro.SlotPhysStatus(reset_active=False, card_present=(turn // slots) % 2 == 0)
            where = BankSlot(bank + 1, slot)
            self._banks[bank].send(rspro.BankSlotStatusInd(where, ClientSlot(0, 0), status))
            turn += 1
            await asyncio.sleep(max(0.0, begun + turn / rate - time.perf_counter()))


async def read_stream(rest: httpx2.AsyncClient, counted: list[int], number: int) -> None:
    """Be a viewer without a browser, until cancelled."""
    page = (await rest.get("/", headers={"Accept": "text/html"})).text
    at = page.split('data-stream="')[1].split('"')[0]
    async with rest.stream("GET", at, headers={"Accept": "text/event-stream"}) as stream:
        async for part in stream.aiter_raw():
            counted[number] += len(part)


async def interact(page: Page, times: int) -> list[float]:
    """Click, type and filter; the durations in ms, one for each interaction."""
    await page.evaluate(_OBSERVE)
    tiles = page.locator(".tile .pick")
    for turn in range(times):
        await tiles.nth(turn * 7 % 200).click()
        await page.locator("#picked-clear").click()
        await page.locator("#search").press_sequentially("b3:1", delay=30)
        # As somebody who has typed looks at what was found.
        await page.locator("#found", has_text=" of ").wait_for()
        await page.keyboard.press("Escape")
        await page.locator('[data-filter-state="empty"]').click()
        await page.locator('[data-filter-state=""]').click()
    await page.wait_for_timeout(500)
    found: list[tuple[int, float]] = await page.evaluate("window.measured")
    longest: dict[int, float] = {}
    for interaction, duration in found:
        longest[interaction] = max(duration, longest.get(interaction, 0.0))
    return sorted(longest.values())


async def measure(options: argparse.Namespace, program: Program, rspro: HostPort, rest: HostPort) -> dict[str, Cell]:
    """One run."""
    async with AsyncExitStack() as stack:
        installation = Installation(rspro, stack)
        await installation.connect(options.slots, options.clients)
        limits = httpx2.Limits(max_connections=None)
        client = httpx2.AsyncClient(base_url=f"http://{rest}", timeout=60.0, limits=limits)
        await stack.enter_async_context(client)
        for number in range(options.clients):
            card = {"card": f"B{number % _BANKS + 1}:{number // _BANKS}"}
            answer = await client.put(f"/api/v2/mappings/C{number}:0", json=card)
            assert answer.status_code == 201, answer.text
        overview = await client.get("/", headers={"Accept": "text/html"})
        tasks = await stack.enter_async_context(TaskOwner("viewers"))
        stack.callback(tasks.cancel)
        counted = [0] * (options.viewers - 1)
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--disable-gpu"])
        stack.push_async_callback(browser.close)
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(f"http://{rest}/")
        await page.locator("body[data-live]").wait_for()
        for number in range(options.viewers - 1):
            tasks.vital(read_stream(client, counted, number), name="viewer")
        tasks.vital(installation.change(options.rate, options.slots), name="changes")
        await asyncio.sleep(3.0)
        process = psutil.Process(program.pid)
        before, cpu, began = sum(counted), process.cpu_times(), time.perf_counter()
        durations = await interact(page, options.times)
        elapsed, after = time.perf_counter() - began, process.cpu_times()
        is_stale = await page.evaluate("remsim.isStale()")
        viewers = max(1, options.viewers - 1)
        return {
            "slots": options.slots,
            "clients": options.clients,
            "changes/s": options.rate,
            "viewers": options.viewers,
            "interactions": len(durations),
            "median ms": durations[len(durations) // 2],
            "p95 ms": durations[int(len(durations) * 0.95)],
            "server CPU %": round(100 * (after.user + after.system - cpu.user - cpu.system) / elapsed, 1),
            "kB/s for a viewer": round((sum(counted) - before) / elapsed / viewers / 1000, 1),
            "page kB": round(len(overview.content) / 1000),
            "compressed kB": round(int(overview.headers["content-length"]) / 1000),
            "stale": str(is_stale),
        }


def main(arguments: Sequence[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench page", description=__doc__)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rate", type=float, default=50.0, help="changes a second")
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--times", type=int, default=20, help="rounds of clicks and keys in the browser")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    raise_open_file_limit()
    with tempfile.TemporaryDirectory() as folder:
        words = ("server", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--rest-open", "--plaintext")
        with Program(remsim(*words, "--state", folder, "--log-level", "info")) as program:
            found = program.wait_for(_LISTENING, timeout_s=60.0)
            rspro, rest = (HostPort("127.0.0.1", int(found[number])) for number in (1, 2))
            row = asyncio.run(measure(options, program, rspro, rest))
    tables.show("the page of a large installation", [row])
    tables.save(options.json, {"machine": tables.machine(), "rows": [row]})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
