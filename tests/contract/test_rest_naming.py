# SPDX-License-Identifier: Apache-2.0
"""Cards by slot, ICCID, IMSI and label, in mappings, leases, fleets and ``remsim ctl map``; numbers of two cards."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remsim.core.ids import BankSlot
from remsim.server.core.tokens import Scope, TokenRole
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import InventoryInd
from tests.contract.test_rest_library import ctl
from tests.doubles.rest_lab import V2, Lab, open_lab, problem
from tests.doubles.server_rig import RigPeer

ICCIDS = ("8900101234567890018", "8900101234567890026", "8900101234567890034")
IMSIS = ("001010123456789", "001010123456788", "001010123456787")


def insert(bank: RigPeer, slot: str, iccid: str, imsi: str | None = None) -> None:
    """A card is in a slot, and was read."""
    where = BankSlot.parse(slot)
    bank.send(CardInd(where, iccid))
    if imsi is not None:
        bank.send(InventoryInd(where, iccid, imsi))


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A server that keeps IMSIs, with three cards in bank 1, and in bank 2 another with the numbers of the last."""
    async with open_lab(tmp_path, rest_open=True, keep_imsi=True) as made:
        first, second = await made.bank(1), await made.bank(2)
        for number, (iccid, imsi) in enumerate(zip(ICCIDS, IMSIS, strict=True)):
            insert(first, f"B1:{number}", iccid, imsi)
        insert(second, "B2:5", ICCIDS[2], IMSIS[2])
        await first.settle()
        await second.settle()
        yield made


async def test_a_card_is_mapped_by_its_imsi_which_nobody_sees(lab: Lab) -> None:
    order = {"card": f"imsi:{IMSIS[1]}"}
    made = await lab.admin.put(f"{V2}/mappings/C7:0", json=order)
    assert (made.status_code, made.json()["bank"]) == (201, "B1:1")
    assert (await lab.admin.put(f"{V2}/mappings/C7:0", json=order)).status_code == 200
    taken = problem(await lab.admin.put(f"{V2}/mappings/C8:0", json=order), 409, "conflict")
    assert taken == "the card is in use, or locked"
    other = await lab.admin.put(f"{V2}/mappings/C8:0", json={"card": "imsi:001019999999999"})
    problem(other, 404, "not_found")
    (card,) = (await lab.admin.get(f"{V2}/cards?imsi={IMSIS[1]}")).json()["items"]
    assert (card["slot"], card["mapping"]["client"]) == ("B1:1", "C7:0")
    leased = await lab.admin.post(f"{V2}/leases", json={"pool": f"imsi:{IMSIS[0]}", "client": "C9:0", "for": "1h"})
    assert (leased.status_code, leased.json()["pool"]) == (201, "imsi:00101…89")
    assert leased.json()["mapping"]["bank"] == "B1:0"
    fleet = {"mappings": {"C7:0": f"imsi:{IMSIS[1]}", "C9:0": f"imsi:{IMSIS[0]}"}}
    assert (await lab.admin.post(f"{V2}/apply", json=fleet)).json()["changes"] == []
    shown = "".join(
        [(await lab.admin.get(f"{V2}/{path}")).text for path in ("events", "audit", "leases", "mappings", "cards")]
    )
    assert not [imsi for imsi in IMSIS if imsi in shown]
    assert "00101…89" in shown


@pytest.mark.parametrize("number", [f"iccid:{ICCIDS[2]}", f"imsi:{IMSIS[2]}"])
async def test_a_number_of_two_cards_names_neither(lab: Lab, number: str) -> None:
    wants = {"pool": number, "client": "C7:0", "for": "1h"}
    asked = (
        lab.admin.put(f"{V2}/mappings/C7:0", json={"card": number}),
        lab.admin.post(f"{V2}/leases", json=wants),
    )
    for asking in asked:
        answer = await asking
        assert problem(answer, 409, "ambiguous").endswith("is the number of 2 cards, in B1:2, B2:5")
        assert "by its slot" in answer.json()["hint"]
    applied = problem(await lab.admin.post(f"{V2}/apply", json={"mappings": {"C7:0": number}}), 409, "conflict")
    assert applied.endswith("is the number of 2 cards, in B1:2, B2:5")
    # One who has a card of this number keeps it; one who may use one of them only is told of no other.
    assert (await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B2:5"})).status_code == 201
    assert (await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": number})).json()["bank"] == "B2:5"
    limited = await lab.caller(TokenRole.OPERATOR, Scope(frozenset({1}), None))
    assert (await limited.put(f"{V2}/mappings/C8:0", json={"card": number})).json()["bank"] == "B1:2"
    for path in (f"cards?imsi={IMSIS[2]}", "cards"):
        assert "B2" not in (await limited.get(f"{V2}/{path}")).text
    foreign = await lab.caller(TokenRole.OPERATOR, Scope(frozenset({3}), None))
    problem(await foreign.put(f"{V2}/mappings/C9:0", json={"card": number}), 404, "not_found")


async def test_a_server_that_keeps_no_imsis_says_so(tmp_path: Path) -> None:
    async with open_lab(tmp_path) as lab:
        for answer in (
            await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": f"imsi:{IMSIS[0]}"}),
            await lab.admin.get(f"{V2}/cards?imsi={IMSIS[0]}"),
        ):
            assert problem(answer, 409, "imsi_not_kept") == "this server keeps no IMSIs"
            assert "keep_imsi" in answer.json()["hint"]
        problem(await lab.admin.get(f"{V2}/cards?imsi=12"), 400, "bad_request")


async def test_cards_are_mapped_by_command(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    async def said(*words: str) -> tuple[int, str]:
        status = await ctl(lab.service, " ".join(words))
        out, err = capsys.readouterr()
        return status, out + "".join(line for line in err.splitlines() if line.startswith("remsim"))

    status, text = await said("map", f"imsi:{IMSIS[0]}", "C7:0")
    assert (status, text.startswith("mapped B1:0 to C7:0; ")) == (0, True)
    status, text = await said("map", "B1:1", "C8:0", "--follow")
    assert (status, text.startswith("mapped B1:1 to C8:0; ")) == (0, True)
    assert (await lab.admin.get(f"{V2}/mappings/C8:0")).json()["follow"] == "card"
    status, text = await said("map", f"iccid:{ICCIDS[2]}", "C9:0")
    assert (status, "is the number of 2 cards" in text) == (1, True)
    status, text = await said("map", "label:none", "C7:0")
    assert (status, "it exists" in text) == (1, True)
    assert (await said("map", "imsi:12", "C9:0"))[0] == 2
