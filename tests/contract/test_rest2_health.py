# SPDX-License-Identifier: Apache-2.0
"""How slots stand, by REST v2 over a whole server."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from remsim.cli.main import main
from remsim.core.ids import BankSlot, ClientSlot
from remsim.rest import models
from remsim.server.core.tokens import Scope, TokenRole
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import (
    CardErrorKind,
    ClientCounters,
    ClientHealthInd,
    ClientPhase,
    InventoryInd,
    LastError,
    Latency,
    ModemLines,
    ModemSpeed,
    NetworkTime,
    Quantiles,
    RecentErrors,
    SessionPhase,
    SlotCounters,
    SlotHealthInd,
)
from remsim.wire.messages.rspro import SessionStateInd
from tests.doubles.rest_lab import V2, Lab, open_lab, serve_mappings
from tests.doubles.server_rig import RigPeer, connect_client

REPORT = SlotHealthInd(
    bank_slot=BankSlot(1, 3),
    is_present=True,
    presence_age_ms=60_000,
    phase=SessionPhase.RESUMABLE,
    phase_age_ms=30_000,
    counters=SlotCounters(commands=700, resets=2, mutes=1, transmission_errors=14, recoveries=14),
    recent=RecentErrors(0, 14),
    reader="Reader 3",
    atr=b"\x3b\x00",
    client=ClientSlot(7, 0),
    last_error=LastError(CardErrorKind.TRANSMISSION, 180_000),
    card_time=Quantiles(256, 21_000, 90_000),
    latency=Latency(commands=700, round_trips=700, saved_ms=-100, card_ms=14_700),
)
MODEM = ClientHealthInd(
    client_slot=ClientSlot(7, 0),
    phase=ClientPhase.OPERATIONAL,
    phase_age_ms=30_000,
    counters=ClientCounters(commands=700, failures=1, resets=2, cuts=5, resumes=5, recent_cuts=1, longest_hold_ms=1500),
    emulator="simtrace2",
    board="sysmoQMOD st12",
    firmware="0.9.0",
    has_hardware=True,
    bank_slot=BankSlot(1, 3),
    lines=ModemLines(29_000, is_reset_active=False, has_vcc=True, has_clk=True),
    speed=ModemSpeed(9, 6),
    round_trip=Quantiles(256, 42_000, 95_000),
    latency=Latency(commands=700, hits=10, waited_ms=30_000),
    network=NetworkTime(Quantiles(200, 20_500, 60_000), is_of_pings=False),
)


async def at_work(lab: Lab) -> tuple[RigPeer, RigPeer]:
    """A bank and a client that have told everything."""
    bank = await lab.bank(1)
    client = await lab.client(7, is_own=True)
    bank.send(SessionStateInd(BankSlot(1, 3), ClientSlot(7, 0), SessionPhase.RESUMABLE, 30_000, 2))
    bank.send(REPORT)
    client.send(MODEM)
    await bank.settle()
    await client.settle()
    return bank, client


async def test_one_bank_slot_is_shown_with_everything(lab: Lab) -> None:
    await at_work(lab)
    answer = await lab.admin.get(f"{V2}/banks/1/slots/3")
    slot = models.BankSlotModel.model_validate_json(answer.content)
    assert (slot.reader_name, slot.atr, slot.card.state) == ("Reader 3", "3b00", "present")
    assert slot.card.age_s is not None
    assert 60.0 <= slot.card.age_s < 65.0
    assert slot.session is not None
    assert (slot.session.state, slot.session.client, slot.session.source, slot.session.cuts) == (
        "resumable",
        "C7:0",
        "B1",
        2,
    )
    assert slot.health is not None
    assert (slot.health.kind, slot.health.trouble) == ("contact", True)
    assert slot.health.verdict == "contact trouble: 14 transmission errors in 1 h, last 3 min ago"
    assert slot.health.advice == "clean the card or move it to another slot"
    figures = slot.health.figures
    assert figures is not None
    assert (figures.commands, figures.transmission_errors, figures.transmission_errors_in_1h) == (700, 14, 14)
    assert figures.card_time == models.DurationsModel(samples=256, p50_us=21_000, p99_us=90_000)
    assert figures.last_error is not None
    assert figures.last_error.kind == "transmission"
    assert 180.0 <= figures.last_error.age_s < 185.0
    assert figures.latency is not None
    assert (figures.latency.saved_s, figures.latency.card_s, figures.latency.waited_s) == (-0.1, 14.7, None)


async def test_bank_of_the_first_interface_names_its_readers_for_those_who_ask_for_more(lab: Lab) -> None:
    """What ``remsim ctl banks 1`` shows."""
    await at_work(lab)
    bank = (await lab.admin.get("/api/backend/v1/banks/1", params={"more": "true"})).json()
    assert [slot.get("readerName") for slot in bank["slots"]] == [None, None, None, "Reader 3", *[None] * 4]


async def test_lists_have_the_verdicts_without_figures(lab: Lab) -> None:
    await at_work(lab)
    slots = (await lab.admin.get(f"{V2}/banks/1/slots")).json()["items"]
    assert [slot["health"]["kind"] for slot in slots] == [*["unknown"] * 3, "contact", *["unknown"] * 4]
    assert not any("figures" in slot["health"] or "reader_name" in slot for slot in slots)
    assert "bank 1 has not told yet" in slots[0]["health"]["verdict"]


async def test_one_client_slot_is_shown_with_everything(lab: Lab) -> None:
    await at_work(lab)
    answer = await lab.admin.get(f"{V2}/clients/7/slots/0")
    slot = models.ClientSlotModel.model_validate_json(answer.content)
    assert (slot.emulator, slot.board) == (
        "simtrace2",
        models.BoardModel(present=True, name="sysmoQMOD st12", firmware="0.9.0"),
    )
    assert slot.session is not None
    assert (slot.session.state, slot.session.bank, slot.session.source) == ("operational", "B1:3", "C7:0")
    assert slot.lines is not None
    assert (slot.lines.reset, slot.lines.vcc, slot.lines.clk) == (False, True, True)
    assert (slot.lines.f_index, slot.lines.d_index) == (9, 6)
    assert slot.round_trip == models.DurationsModel(samples=256, p50_us=42_000, p99_us=95_000)
    assert slot.network == models.NetworkModel(by="commands", samples=200, p50_us=20_500, p99_us=60_000)
    (course,) = [
        one for one in (await lab.admin.get(f"{V2}/latency/C7:0")).json()["courses"] if one["measures"] == "round_trip"
    ]
    assert [(point["network_p50_us"], point["network_by"]) for point in course["points"]] == [(20_500, "commands")]
    assert slot.health is not None
    assert (slot.health.kind, slot.health.trouble, slot.health.verdict) == ("ok", False, "")
    assert slot.health.figures is not None
    assert (slot.health.figures.cuts, slot.health.figures.longest_hold_s) == (5, 1.5)
    assert slot.health.figures.latency is not None
    assert slot.health.figures.latency.hits == 10
    listed = (await lab.admin.get(f"{V2}/clients/7/slots")).json()["items"][0]
    assert listed["round_trip"]["p50_us"] == 42_000
    assert "figures" not in listed["health"]


async def test_nothing_is_claimed_of_peers_that_are_gone(lab: Lab) -> None:
    bank, client = await at_work(lab)
    await bank.close()
    await client.close()
    await lab.bank_is_gone(1)
    runtime = lab.service.runtime
    assert runtime is not None
    assert await runtime.changes.until(lambda: runtime.query.client(ClientSlot(7, 0)) is None or None, 20)
    await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:3"})
    slot = (await lab.admin.get(f"{V2}/banks/1/slots/3")).json()
    assert slot["health"]["kind"] == "unknown"
    assert slot["health"]["verdict"].startswith("bank 1 is not connected since ")
    assert {"session", "reader_name", "atr", "figures"}.isdisjoint({*slot, *slot["health"]})
    modem = (await lab.admin.get(f"{V2}/clients/7/slots/0")).json()
    assert modem["health"]["verdict"].startswith("client C7:0 is not connected since ")
    assert {"session", "emulator", "board", "lines", "round_trip", "network"}.isdisjoint(modem)
    assert (await lab.admin.get(f"{V2}/sessions")).json()["items"] == []


async def test_of_classic_peers_is_shown_what_is_known(lab: Lab) -> None:
    await at_work(lab)
    async with await connect_client(lab.service, 9, is_own=False):
        slot = (await lab.admin.get(f"{V2}/clients/9/slots/0")).json()
        assert slot["health"]["kind"] == "unknown"
        assert slot["health"]["verdict"] == "client C9:0 does not tell"
        assert slot["link"]["state"] == "connected"


async def test_sessions_are_listed_in_pages(lab: Lab) -> None:
    bank, _ = await at_work(lab)
    bank.send(SessionStateInd(BankSlot(1, 0), ClientSlot(8, 0), SessionPhase.DETACHED, 0, 0))
    await bank.settle()
    first = (await lab.admin.get(f"{V2}/sessions?limit=1")).json()
    assert [(item["bank"], item["client"], item["state"]) for item in first["items"]] == [("B1:0", "C8:0", "detached")]
    second = (await lab.admin.get(f"{V2}/sessions?cursor={first['next']}")).json()
    assert [item["bank"] for item in second["items"]] == ["B1:3"]
    assert 30.0 <= second["items"][0]["age_s"] < 35.0


async def test_changes_are_in_the_events(lab: Lab) -> None:
    bank, _ = await at_work(lab)
    bank.send(replace(REPORT, recent=RecentErrors()))
    await bank.settle()
    events = (await lab.admin.get(f"{V2}/events")).json()["items"]
    verdicts = [(item["bank_slot"], item["data"]["verdict"]) for item in events if item["kind"] == "slot_health"]
    assert verdicts == [("B1:3", "contact"), ("B1:3", "ok")]
    states = [(item["client_slot"], item["data"]["state"]) for item in events if item["kind"] == "session_state"]
    assert states == [("C7:0", "resumable")]


@pytest.mark.parametrize(
    ("scope", "sees_bank", "sees_client", "sees_session"),
    [
        (Scope(frozenset({1}), frozenset({7})), True, True, True),
        (Scope(frozenset({1}), frozenset({8})), True, False, False),
        (Scope(frozenset({2}), frozenset({7})), False, True, False),
    ],
)
async def test_limited_token_sees_its_part_only(
    lab: Lab, scope: Scope, sees_bank: bool, sees_client: bool, sees_session: bool
) -> None:
    await at_work(lab)
    rest = await lab.caller(TokenRole.VIEWER, scope)
    slot, modem = await rest.get(f"{V2}/banks/1/slots/3"), await rest.get(f"{V2}/clients/7/slots/0")
    assert (slot.status_code == 200, modem.status_code == 200) == (sees_bank, sees_client)
    sessions = (await rest.get(f"{V2}/sessions")).json()["items"]
    events = (await rest.get(f"{V2}/events")).json()["items"]
    assert bool(sessions) == sees_session
    assert any(item["kind"] == "session_state" for item in events) == sees_session
    assert any(item["kind"] == "slot_health" for item in events) == sees_bank
    everything = " ".join((slot.text, modem.text, str(sessions), str(events)))
    if not sees_bank:
        assert "B1" not in everything
    if not sees_client:
        assert "C7" not in everything


class TestInventory:
    """What cards say without a PIN."""

    IMSI, EID = "001010123456789", "89049032000000000000000000000018"
    ICCID = "8900101234567890018"

    async def test_it_is_shown_shortened_and_in_full_to_admins_who_ask(self, tmp_path: Path) -> None:
        async with open_lab(tmp_path, keep_imsi=True) as lab:
            viewer = await lab.caller(TokenRole.VIEWER)
            bank = await lab.bank(1)
            bank.send(CardInd(BankSlot(1, 3), self.ICCID))
            bank.send(InventoryInd(BankSlot(1, 3), self.ICCID, self.IMSI, b"Example", self.EID))
            await bank.settle()
            for rest in (viewer, lab.admin):
                slot = (await rest.get(f"{V2}/banks/1/slots/3")).json()["inventory"]
                assert (slot["imsi"], slot["service_provider"], slot["eid"]) == ("00101…89", "Example", "89049032…0018")
                assert slot["source"] == "B1"
                pages = [(await rest.get(f"{V2}/{path}")).text for path in ("cards", "banks/1/slots", "events")]
                assert not [secret for secret in (self.IMSI, self.EID, self.ICCID) if secret in " ".join(pages)]
            (card,) = (await lab.admin.get(f"{V2}/cards?reveal=true")).json()["items"]
            assert (card["inventory"]["imsi"], card["inventory"]["eid"]) == (self.IMSI, self.EID)
            assert (await viewer.get(f"{V2}/cards?reveal=true")).status_code == 403

    async def test_it_outlives_the_server_without_the_imsi_that_is_not_kept(self, tmp_path: Path) -> None:
        for keeps in (True, False):
            async with open_lab(tmp_path, keep_imsi=keeps) as lab:
                if keeps:
                    bank = await lab.bank(1)
                    bank.send(CardInd(BankSlot(1, 3), self.ICCID))
                    bank.send(InventoryInd(BankSlot(1, 3), self.ICCID, self.IMSI, b"Example", self.EID))
                    await bank.settle()
                    continue
                (card,) = (await lab.admin.get(f"{V2}/cards?reveal=true")).json()["items"]
                assert card["inventory"] == {"service_provider": "Example", "eid": self.EID, "source": "database"}


async def test_lists_of_both_versions_say_the_same_of_a_slot_whose_reader_is_busy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its card was never read, so its number is not known; that it is there, is."""
    async with open_lab(tmp_path, rest_open=True) as lab:
        bank = await lab.bank(1)
        assert (await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:3"})).status_code == 201
        await serve_mappings(bank)
        bank.send(
            replace(REPORT, last_error=LastError(CardErrorKind.READER_BUSY, 0), phase=SessionPhase.NONE, client=None)
        )
        await bank.settle()

        async def line(*words: str) -> str:
            rest = f"http://{lab.service.rest_address}"
            assert await asyncio.to_thread(main, ["ctl", "--rest", rest, *words]) == 0
            return next(line for line in capsys.readouterr().out.splitlines() if "C7:0" in line)

        words = "client C7:0 was never connected"
        assert (await line("slots", "1")).split(None, 5) == ["B1:3", "present", "busy", "C7:0", "active", words]
        assert (await line("banks", "1")).split(None, 7) == ["3", "Reader", "3", "yes", "busy", "C7:0", "ACTIVE", words]
        assert (await line("mappings")).split(None, 3) == ["B1:3", "C7:0", "ACTIVE", words]
