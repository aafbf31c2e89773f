# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl health``, and the verdicts in the other tables, against a whole server."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.service import ServerService
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import InventoryInd, SessionPhase
from remsim.wire.messages.rspro import SessionStateInd
from tests.contract.test_rest2_health import MODEM, REPORT
from tests.contract.test_rest_library import ctl
from tests.doubles.server_rig import connect_bank, connect_client, running_server


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    """A server with a bank of two slots and a client that have told everything."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(running_server(tmp_path, keep_imsi=True))
        bank = await stack.enter_async_context(await connect_bank(running, 1, 4, is_own=True))
        client = await stack.enter_async_context(await connect_client(running, 7, is_own=True))
        bank.send(CardInd(BankSlot(1, 3), "8900101234567890018"))
        bank.send(InventoryInd(BankSlot(1, 3), "8900101234567890018", "001010123456789", b"Example"))
        bank.send(SessionStateInd(BankSlot(1, 3), ClientSlot(7, 0), SessionPhase.RESUMABLE, 30_000, 2))
        bank.send(REPORT)
        client.send(MODEM)
        await bank.settle()
        await client.settle()
        yield running


def timeless(text: str) -> str:
    """The text whatever time it is."""
    return re.sub(r"(?<![0-9.])[0-9]+ s\b", "N s", text)


def rows(text: str) -> dict[str, str]:
    """Names and values of a list."""
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in text.splitlines())


async def test_what_is_wrong_comes_with_what_to_do(service: ServerService, capsys: pytest.CaptureFixture[str]) -> None:
    assert await ctl(service, "health") == 0
    assert timeless(capsys.readouterr().out).splitlines() == [
        "B1:3  contact trouble: 14 transmission errors in 1 h, last 3 min ago (for N s)",
        "      clean the card or move it to another slot",
        "5 slots: 1 in trouble, 1 well, 3 not known",
    ]
    assert await ctl(service, "--json health") == 0
    shown = {item["slot"]: item["kind"] for item in json.loads(capsys.readouterr().out)}
    assert shown == {"B1:0": "unknown", "B1:1": "unknown", "B1:2": "unknown", "B1:3": "contact", "C7:0": "ok"}


async def test_a_bank_slot_is_shown_with_all_that_is_known(
    service: ServerService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await ctl(service, "health b1:3") == 0
    out = timeless(capsys.readouterr().out)
    shown = rows(out)
    assert shown["health"].startswith("contact trouble: 14 transmission errors in 1 h, last 3 min ago for ")
    assert shown["advice"] == "clean the card or move it to another slot"
    assert shown["card"] == "present for 1 min, ICCID 890010…0018, ATR 3b00"
    assert shown["says"] == "Example, IMSI 00101…89"
    assert shown["session"].startswith("C7:0, resumable for N s, 2 cuts")
    assert shown["commands"] == "700, 2 resets"
    assert shown["errors"] == "14 in transmission, 1 without an answer, 0 others; 14 recovered"
    assert shown["card time"] == "p50 21.0 ms, p99 90.0 ms, of the last 256 commands"


async def test_a_client_slot_is_shown_with_all_that_is_known(
    service: ServerService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await ctl(service, "health C7:0") == 0
    out = timeless(capsys.readouterr().out)
    shown = rows(out)
    assert shown["health"] == "ok"
    assert shown["session"].startswith("operational for N s, B1:3")
    assert shown["board"] == "sysmoQMOD st12, there, firmware 0.9.0"
    assert shown["lines"].startswith("VCC on, CLK on, RST inactive, speed 96 for N s")
    assert shown["cuts"] == "5, 5 resumed; longest hold 1.5 s"
    assert shown["round trip"].startswith("p50 42.0 ms, p99 95.0 ms")
    assert shown["network"] == "p50 20.5 ms, p99 60.0 ms, of the last 200 commands"
    assert await ctl(service, "--json health C7:0") == 0
    assert json.loads(capsys.readouterr().out)["round_trip"]["p99_us"] == 95_000


async def test_other_tables_have_the_verdicts(service: ServerService, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ("slots B1", "banks 1", "clients"):
        assert await ctl(service, words) == 0
        out = capsys.readouterr().out
        assert "HEALTH" in out
        assert ("contact" in out) == (words != "clients")
        assert ("ok" in out) == (words == "clients")


@pytest.mark.parametrize(("words", "said"), [("health 7", "is no slot"), ("health B9:0", "there is no bank 9")])
async def test_what_is_no_slot_is_said(
    service: ServerService, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert await ctl(service, words) != 0
    assert said in capsys.readouterr().err
