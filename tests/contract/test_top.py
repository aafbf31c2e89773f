# SPDX-License-Identifier: Apache-2.0
"""``remsim top`` against a whole server: what stands on a screen of 80 columns and 24 lines."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from remsim.cli.main import main
from remsim.core.ids import BankSlot
from remsim.rest import AsyncRest, calls
from remsim.server.service import ServerService
from remsim.top import follow
from remsim.top.screen import TopScreen
from remsim.wire.messages.extensions import CardInd
from tests.doubles.server_rig import PATIENCE_S, connect_bank, connect_client, running_server

ICCID = "8900101234567890018"


def lines(app: TopScreen) -> list[str]:
    """What stands on the screen."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


async def shows(pilot: Pilot[str], *wanted: str) -> None:
    """Wait until all of this stands on the screen."""
    app = pilot.app
    assert isinstance(app, TopScreen)
    drawn = asyncio.Event()
    draw = app.draw

    def noted() -> None:
        draw()
        drawn.set()

    app.draw = noted  # type: ignore[method-assign]
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await pilot.pause()
                text = "\n".join(lines(app))
                if all(each in text for each in wanted):
                    return
                drawn.clear()
                await drawn.wait()
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


async def test_refusal_at_the_start_ends_it_with_the_reason(tmp_path: Path) -> None:
    async with running_server(tmp_path, rest_open=False) as service:
        app = TopScreen("here", connect(service))
        async with app.run_test(size=(80, 24)) as pilot:
            async with asyncio.timeout(PATIENCE_S):
                while app.return_value is None:
                    await pilot.pause()
        assert "token" in str(app.return_value)


def test_without_a_terminal_it_says_what_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--rest", "http://127.0.0.1:1"]) == 2
    assert "needs a terminal; hint: for programs there is: remsim ctl watch --json" in capsys.readouterr().err
