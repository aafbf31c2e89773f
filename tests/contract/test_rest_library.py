# SPDX-License-Identifier: Apache-2.0
"""The library ``remsim.rest`` and the commands on it, against a whole server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from remsim.cli.main import main
from remsim.core.ids import BankSlot
from remsim.rest import AsyncRest, Rest, RestApiError, calls
from remsim.rest.client import EventsLostError
from remsim.server.service import ServerService
from remsim.wire.messages.extensions import CardInd
from tests.doubles.server_rig import connect_bank, running_server

ICCID = "8900101234567890018"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path) as running:
        yield running


def url(service: ServerService) -> str:
    return f"http://{service.rest_address}"


async def ctl(service: ServerService, words: str) -> int:
    return await asyncio.to_thread(main, ["ctl", "--rest", url(service), *words.split()])


async def test_both_clients_make_all_calls(service: ServerService) -> None:
    async with await connect_bank(service, 1, is_own=True) as bank, AsyncRest(url(service)) as rest:
        bank.send(CardInd(BankSlot(1, 0), ICCID))
        await bank.settle()
        for nr in range(3):
            answer = await rest.do(calls.put_mapping(f"C7:{nr}", f"B1:{nr}"))
            assert (answer.client, answer.operational) == (f"C7:{nr}", False)
        assert (await rest.do(calls.show_mapping("7:0"))).bank == "B1:0"
        assert (await rest.do(calls.put_labels("B1:0", ["b", "a"]))).labels == ["a", "b"]
        assert (await rest.do(calls.show_labels("B1:0"))).labels == ["a", "b"]
        assert [item.subject async for item in rest.items(calls.list_labels())] == ["B1:0"]
        assert (await rest.do(calls.show_bank(1))).link.state == "connected"
        assert (await rest.do(calls.show_bank_slot("B1:0"))).labels == ["a", "b"]
        assert (await rest.do(calls.show_client_slot("C7:0"))).link.state == "absent"
        assert (await rest.do(calls.show_card(ICCID))).slot == "B1:0"
        assert len([slot async for slot in rest.items(calls.list_bank_slots(1))]) == 8
        await rest.do(calls.reset_bank(1).once("x"))
        await rest.do(calls.delete_mapping("C7:2"))
        page = await rest.do(calls.list_events())
        assert "mapping_deleted" in [event.kind for event in page.items]
        assert (await rest.do(calls.list_events(page.next))).lost is False
        seen = await asyncio.to_thread(_look, url(service))
    assert seen == (["C7:0", "C7:1"], ["890010…0018"], [7])


def _look(base: str) -> tuple[list[str], list[str], list[int]]:
    with Rest(base) as rest:
        call = calls.list_mappings()
        small = calls.Call(call.method, call.path, call.model, {"limit": "1"})
        mapped = [item.client for item in rest.items(small)]
        cards = [item.iccid for item in rest.items(calls.list_cards())]
        return mapped, cards, [item.client for item in rest.items(calls.list_clients())]


async def test_refusals_are_errors_with_hints(service: ServerService) -> None:
    async with AsyncRest(url(service)) as rest:
        with pytest.raises(RestApiError) as unknown:
            await rest.do(calls.show_mapping("C7:0"))
        assert (unknown.value.status, unknown.value.code) == (404, "not_found")
        assert unknown.value.hint
        with pytest.raises(RestApiError) as changed:
            await rest.do(calls.put_mapping("C7:0", "B1:0").only_if('"m1"'))
        assert changed.value.code == "changed"
        with pytest.raises(RestApiError) as forbidden:
            await rest.do(calls.list_tokens())
        assert forbidden.value.status == 403
    async with AsyncRest("http://127.0.0.1:1") as nobody:
        with pytest.raises(RestApiError, match="cannot ask"):
            await nobody.do(calls.list_banks())


async def test_events_are_followed_by_both_clients(service: ServerService) -> None:
    def first(base: str) -> str:
        with Rest(base) as rest:
            return next(rest.events("1-0")).kind

    async with AsyncRest(url(service)) as rest:
        await rest.do(calls.put_mapping("C7:0", "B1:0"))
        async with aclosing(rest.events("1-0")) as events:
            event = await anext(events)
        assert (event.kind, event.bank_slot, event.client_slot, event.id) == ("mapping_created", "B1:0", "C7:0", "1-1")
        assert await asyncio.to_thread(first, url(service)) == "mapping_created"
        async with aclosing(rest.events("9-5")) as events:
            with pytest.raises(EventsLostError) as lost:
                await anext(events)
        assert lost.value.last == "1-0"
        async with aclosing(rest.events("x")) as events:
            with pytest.raises(RestApiError) as refused:
                await anext(events)
        assert refused.value.status == 400


async def test_commands(service: ServerService, capsys: pytest.CaptureFixture[str]) -> None:
    async with await connect_bank(service, 1, 2, is_own=True) as bank:
        bank.send(CardInd(BankSlot(1, 0), ICCID))
        await bank.settle()
        assert await ctl(service, "label B1:0 spare roaming") == 0
        assert await ctl(service, "label B1:1 spare") == 0
        assert await ctl(service, "label B1:1 --clear") == 0
        capsys.readouterr()
        assert await ctl(service, "label B1:0") == 0
        assert capsys.readouterr().out == "B1:0: roaming, spare\n"
        assert await ctl(service, "slots 1") == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        # A bankd that reports no health is told as that.
        assert rows[1:] == [
            ["B1:0", "present", "890010…0018", "roaming,", "spare", "unknown"],
            ["B1:1", "unknown", "unknown"],
        ]
        assert await ctl(service, "--json slots") == 0
        assert [slot["slot"] for slot in json.loads(capsys.readouterr().out)] == ["B1:0", "B1:1"]
        assert await ctl(service, "cards") == 0
        assert "890010…0018" in capsys.readouterr().out
        assert await ctl(service, "map B1:0 C7:0") == 0
        assert await ctl(service, "wait C7:0 --timeout 1ms") == 1
        assert "client C7:0 was never connected" in capsys.readouterr().err
        assert await ctl(service, "--json wait C7:0 --timeout 1ms") == 1
        assert json.loads(capsys.readouterr().out)["client"] == "C7:0"
        assert await ctl(service, "watch --last 1-0 --count 2") == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[1] for line in lines] == ["bankd_connected", "card_number"]
        assert await ctl(service, "--json watch --last 1-1 --count 1") == 0
        assert json.loads(capsys.readouterr().out)["bank_slot"] == "B1:0"


async def test_a_file_is_applied(service: ServerService, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[mappings]\n"C7:0" = "B1:0"\n[labels]\n"B1:0" = ["roaming"]\n')
    expected = "+ C7:0 mapping B1:0\n+ B1:0 labels roaming\n"
    for words in (f"apply -f {file} --dry-run", f"apply -f {file}"):
        assert await ctl(service, words) == 0
        assert capsys.readouterr().out == expected
    assert await ctl(service, f"apply -f {file}") == 0
    assert capsys.readouterr().out == "nothing differs\n"
    file.write_text('[mappings]\n"C7:0" = "B1:1"\n[labels]\n')
    assert await ctl(service, f"--json apply -f {file}") == 0
    assert json.loads(capsys.readouterr().out)["changes"][0]["after"] == "B1:1"
    for text, part in (("x", "cannot be read"), ("[maps]", "maps"), ('[mappings]\n"C7:0" = 1', "mappings.C7:0")):
        file.write_text(text)
        assert await ctl(service, f"apply -f {file}") == 2
        assert part in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "part"),
    [
        ("label B1:0 x --clear", 2, "--clear takes all labels away"),
        ("label X1 y", 1, "bank slot"),
        ("label B1:0 1 2 3 4 5 6 7 8 9", 2, "more than 8 labels"),
        ("slots Bx", 2, "is no bank id"),
        ("slots 5", 1, "there is no bank 5"),
        ("wait C7:0", 1, "there is no mapping of C7:0"),
        ("wait C7", 2, "is no client slot"),
        ("watch --last x", 1, "that is no event's id"),
    ],
)
async def test_commands_say_what_is_wrong(
    service: ServerService, capsys: pytest.CaptureFixture[str], words: str, status: int, part: str
) -> None:
    assert await ctl(service, words) == status
    said = capsys.readouterr().err
    assert part in said
    assert said.count("\n") == 1
