# SPDX-License-Identifier: Apache-2.0
"""``remsim top`` against a whole server: what stands on a screen of 80 columns and 24 lines."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import TabbedContent

from remsim.cli.main import main
from remsim.core.ids import BankSlot
from remsim.net.runtime.tasks import TaskOwner
from remsim.rest import AsyncRest, calls
from remsim.server.service import ServerService
from remsim.top import follow, slot_trace
from remsim.top.screen import TopScreen
from remsim.wire.messages.extensions import CardInd, TraceInd, TraceKind, TraceOrigin, TraceRecord
from tests.doubles.rounds import until
from tests.doubles.server_rig import PATIENCE_S, connect_bank, connect_client, running_server

ICCID = "8900101234567890018"


def lines(app: TopScreen) -> list[str]:
    """What stands on the screen."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


async def shows(pilot: Pilot[str], *wanted: str) -> None:
    """Wait until all of this stands on the screen."""
    app = pilot.app
    assert isinstance(app, TopScreen)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                # What is shown comes from timers and from the server; nobody tells when all of it stands there.
                await pilot.pause()
                text = "\n".join(lines(app))
                if all(each in text for each in wanted):
                    return
    except TimeoutError:
        raise AssertionError("\n".join([f"never stood there: {wanted}", *lines(app)])) from None


def connect(service: ServerService) -> Callable[[], AsyncRest]:
    base = f"http://{service.rest_address}"
    return lambda: AsyncRest(base)


async def test_screen_follows_the_server(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, AsyncRest(f"http://{service.rest_address}") as rest:
        app = TopScreen("here", connect(service))
        async with app.run_test(size=(80, 24)) as pilot:
            await shows(pilot, "live", "banks 0/0", "no problems known")
            async with await connect_bank(service, 1, slots=2, is_own=True) as bank:
                bank.send(CardInd(BankSlot(1, 0), ICCID))
                await bank.settle()
                await rest.do(calls.put_mapping("C7:0", "B1:0"))
                await shows(pilot, "banks 1/1", "890010…0018", "C7:0", "sent", "! C7:0-B1:0")
                async with await connect_client(service, 7) as client:
                    await client.settle()
                    await pilot.press("2")
                    await shows(pilot, "C7:0", "connected")
                    await pilot.press("3")
                    await shows(pilot, "client_connected", "mapping_created")
                    await pilot.press("slash", *"mapping_cr", "enter")
                    await shows(pilot, "mapping_created")
                    assert "client_connected" not in "\n".join(lines(app))
                    await pilot.press("escape")
                    await shows(pilot, "client_connected")
            await pilot.press("1")
            await shows(pilot, "! B1", "not connected")
            assert len(lines(app)) == 24
            await pilot.press("q")
        assert app.return_value is None


async def test_screen_says_that_nothing_is_heard_and_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "RETRY_S", 0.01)
    places: list[str] = []
    async with running_server(tmp_path) as service:
        places.append(f"http://{service.rest_address}")
        app = TopScreen("here", lambda: AsyncRest(places[-1]))
        pilots = app.run_test(size=(80, 24))
        pilot = await pilots.__aenter__()
        await shows(pilot, "live")
    await shows(pilot, "NOT LIVE, all below as of")
    async with running_server(tmp_path) as service, await connect_bank(service, 3):
        places.append(f"http://{service.rest_address}")
        await shows(pilot, "live", "banks 1/1", "B3:0")
        await pilots.__aexit__(None, None, None)


async def test_nothing_is_claimed_before_anything_is_heard() -> None:
    app = TopScreen("here", lambda: AsyncRest("http://127.0.0.1:1"))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "NOT CONNECTED YET to here", "what is wrong now is not known", "cannot ask")
        assert "live" not in "\n".join(lines(app))


async def test_refusal_at_the_start_ends_it_with_the_reason(tmp_path: Path) -> None:
    async with running_server(tmp_path, rest_open=False) as service:
        app = TopScreen("here", connect(service))
        async with app.run_test(size=(80, 24)) as pilot:
            async with asyncio.timeout(PATIENCE_S):
                while app.return_value is None:
                    await pilot.pause()
        assert "token" in str(app.return_value)


def command(tag: int, response: str, words: str) -> TraceRecord:
    return TraceRecord(
        TraceKind.COMMAND,
        TraceOrigin.MODEM,
        0,
        tag=tag,
        command=bytes.fromhex("00a40004023f00"),
        response=bytes.fromhex(response),
        words=words,
        spent_us=13_200,
    )


async def test_t_shows_the_live_trace_of_the_chosen_slot_and_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_trace, "RETRY_S", 0.01)
    slot = BankSlot(1, 1)
    async with running_server(tmp_path) as service, await connect_bank(service, 1, slots=2, is_own=True) as bank:
        app = TopScreen("here", connect(service))
        async with app.run_test(size=(80, 24)) as pilot:
            await shows(pilot, "live", "B1:0", "B1:1")
            await pilot.press("3", "t")
            await shows(pilot, "KIND")
            await pilot.press("1", "down", "t")
            await shows(pilot, "trace B1:1", "card  network", "tracing B1:1")
            bank.send(TraceInd(0, (command(1, "6135", "SELECT MF"), command(2, "6f00", "SELECT EF")), slot))
            bank.send(TraceInd(3, (), slot))
            await bank.settle()
            await shows(pilot, "13.2            SELECT MF: 6135 ok", "SELECT EF: 6F00", "3 records of B1:1 left out")
            assert len(lines(app)) == 24
            assert max(map(len, lines(app))) <= 80
            runtime = service.runtime
            assert runtime is not None
            feed = runtime.coordinator.traces.feed(slot)
            assert feed is not None
            assert feed.watchers == 1
            await pilot.press("escape")
            await shows(pilot, "B1:0", "AGE")
            # Nobody looks any more, so the server is told.
            async with asyncio.timeout(PATIENCE_S):
                await until(lambda: feed.watchers == 0)
            await pilot.press("t", "t")
            await shows(pilot, "B1:0", "AGE")
            async with AsyncRest(f"http://{service.rest_address}") as rest:
                await rest.do(calls.put_mapping("C7:0", "B1:0"))
            await pilot.press("3")
            await shows(pilot, "mapping_created")
            await pilot.press("t")
            await shows(pilot, "trace B1:0", "tracing B1:0")


async def test_trace_goes_on_after_the_server_was_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_trace, "RETRY_S", 0.25)
    places: list[str] = []
    said: list[str] = []
    trace = slot_trace.SlotTrace("B1:0", lambda: AsyncRest(places[-1]), lambda text, _tone: said.append(text))
    async with asyncio.timeout(PATIENCE_S), TaskOwner("test") as tasks:
        async with running_server(tmp_path) as service, await connect_bank(service, 1, is_own=True):
            places.append(f"http://{service.rest_address}")
            tasks.session(trace.run(), name="trace")
            await until(lambda: "tracing B1:0" in said)
        await until(lambda: any(text.endswith("trying again") for text in said))
        before = len(said)
        async with running_server(tmp_path) as service, await connect_bank(service, 1, is_own=True):
            places.append(f"http://{service.rest_address}")
            await until(lambda: "tracing B1:0" in said[before:])
            tasks.cancel()


async def test_trace_that_is_refused_ends_with_the_reason(tmp_path: Path) -> None:
    said: list[str] = []
    async with running_server(tmp_path, rest_open=False) as service, asyncio.timeout(PATIENCE_S):
        await slot_trace.SlotTrace("B1:0", connect(service), lambda text, _tone: said.append(text)).run()
    assert "token" in said[-1]


def test_without_a_terminal_it_says_what_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--rest", "http://127.0.0.1:1"]) == 2
    assert "needs a terminal; hint: for programs there is: remsim ctl watch --json" in capsys.readouterr().err


async def test_screen_holds_no_more_however_long_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TopScreen("here", lambda: AsyncRest("http://127.0.0.1:1"))
    never = asyncio.Event()
    monkeypatch.setattr(app.follower, "run", never.wait)

    async def use(pilot: Pilot[str], times: int) -> int:
        for turn in range(times):
            await pilot.press("123"[turn % 3])
        gc.collect()
        return sum(isinstance(each, Widget) for each in gc.get_objects())

    async with app.run_test(size=(80, 24)) as pilot:
        before = await use(pilot, 3)
        assert await use(pilot, 6) <= before
        await pilot.click("#keys", offset=(lines(app)[-1].index("2 clients"), 0))
        await pilot.pause()
        assert app.query_one(TabbedContent).active == "clients"
