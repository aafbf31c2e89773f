# SPDX-License-Identifier: Apache-2.0
"""What limits hide is said to be hidden: what others use does not look free, and nothing is told of them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from remsim.core.ids import BankSlot
from remsim.server.core.tokens import Scope, TokenRole
from remsim.wire.messages.extensions import CardInd
from tests.contract.test_rest_library import ctl
from tests.doubles.rest_lab import V2, Lab, open_lab, problem
from tests.doubles.server_rig import V1, RigPeer

ICCID = "8900101234567890018"
#: Bank 1 and client 7 are the token's; bank 642 and client 931 others'.
SCOPE = Scope(frozenset({1}), frozenset({7}))
OTHERS = re.compile("642|931|magpie")
NOT_FOUND = "the mapping of C7:0 is none that the token is for"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Bank slot B1:0 is mapped to a client of others, client slot C7:0 to their bank."""
    async with open_lab(tmp_path) as made:
        for client, card in (("C931:0", "B1:0"), ("C7:0", "B642:0")):
            assert (await made.admin.put(f"{V2}/mappings/{client}", json={"card": card})).status_code == 201
        assert (await made.admin.put(f"{V2}/labels/C931:0", json={"labels": ["magpie"]})).status_code == 200
        yield made


async def populate(lab: Lab) -> tuple[RigPeer, RigPeer]:
    bank, client = await lab.bank(1), await lab.client(7)
    bank.send(CardInd(BankSlot(1, 0), ICCID))
    await bank.settle()
    return bank, client


async def items(caller: httpx2.AsyncClient, path: str) -> list[dict[str, object]]:
    answer = await caller.get(f"{V2}/{path}")
    assert not OTHERS.search(answer.text), path
    found = answer.json()["items"]
    assert isinstance(found, list)
    return found


async def test_what_others_use_is_said_to_be_mapped_and_no_more(lab: Lab) -> None:
    bank, client = await populate(lab)
    operator = await lab.caller(TokenRole.OPERATOR, SCOPE)
    slots = await items(operator, "banks/1/slots")
    assert [slot.get("hidden_mapping") for slot in slots[:2]] == [True, None]
    assert "mapping" not in slots[0]
    (card,) = await items(operator, "cards")
    (own,) = await items(operator, "clients/7/slots")
    assert (card["hidden_mapping"], own["hidden_mapping"]) == (True, True)
    listed = (await operator.get(f"{V1}/banks/1?more=true")).json()
    assert (listed["slots"][0]["hiddenMapping"], "hiddenMapping" in listed["slots"][1]) == (True, False)
    assert (listed["mappings"], listed["pendingRemovals"]) == (0, 0)
    assert (await lab.admin.get(f"{V1}/banks/1?more=true")).json()["mappings"] == 1
    # Who sees it all is told of it all.
    shown = (await lab.admin.get(f"{V2}/banks/1/slots/0")).json()
    assert (shown["mapping"]["client"], "hidden_mapping" in shown) == ("C931:0", False)
    for peer in (bank, client):
        await peer.close()


async def test_mapping_that_is_hidden_is_told_from_none(lab: Lab) -> None:
    bank, client = await populate(lab)
    operator = await lab.caller(TokenRole.OPERATOR, SCOPE)
    for answer in (
        await operator.get(f"{V2}/mappings/C7:0"),
        await operator.delete(f"{V2}/mappings/C7:0"),
        await operator.post(f"{V2}/mappings/C7:0/reinsert"),
    ):
        assert problem(answer, 404, "not_found") == NOT_FOUND
        assert not OTHERS.search(answer.text)
    assert problem(await operator.get(f"{V2}/mappings/C7:1"), 404, "not_found") == "there is no mapping of C7:1"
    # Of a client that the token is not for, nothing is told, mapped or not.
    hidden = [problem(await operator.get(f"{V2}/mappings/C{nr}:0"), 404, "not_found") for nr in (931, 932)]
    assert hidden == ["there is no mapping of C931:0", "there is no mapping of C932:0"]
    for peer in (bank, client):
        await peer.close()


async def test_page_offers_nothing_that_others_have(lab: Lab) -> None:
    bank, client = await populate(lab)
    operator = await lab.caller(TokenRole.OPERATOR, SCOPE)
    html = {"Accept": "text/html"}
    for path, offers in (("slots/B1:", ('data-act="map"', 'data-lease-act="lend"')), ("clients/C7:", ())):
        page = await operator.get(f"/{path}0", headers=html)
        assert page.status_code == 200, page.text
        assert "one that the token is not for" in page.text
        assert 'data-act="map"' not in page.text
        assert 'data-lease-act="lend"' not in page.text
        assert not OTHERS.search(re.sub(r'(nonce|proof|content|src|href)="[^"]*"', "", page.text))
        if offers:
            free = (await operator.get(f"/{path}1", headers=html)).text
            assert all(offer in free for offer in offers)
    for peer in (bank, client):
        await peer.close()


async def test_command_line_says_hidden(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bank, client = await populate(lab)
    operator = await lab.caller(TokenRole.OPERATOR, SCOPE)
    monkeypatch.setenv("REMSIM_TOKEN", operator.headers["authorization"].partition(" ")[2])
    for words, line in (
        ("slots B1", "B1:0 present 890010…0018 unknown hidden"),
        ("cards", "890010…0018 B1:0 present hidden"),
        ("banks B1", "0 yes 890010…0018 unknown hidden"),
        ("clients", "C7:0 hidden CONNECTED_CLIENT"),
        ("health B1:0", "mapping one that the token is not for"),
        ("health C7:0", "mapping one that the token is not for"),
    ):
        assert await ctl(lab.service, words) == 0
        out = capsys.readouterr().out
        assert line in re.sub(" +", " ", out), out
        assert not OTHERS.search(out)
    for peer in (bank, client):
        await peer.close()
