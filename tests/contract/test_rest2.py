# SPDX-License-Identifier: Apache-2.0
"""REST v2 over a whole server: resources, mappings that wait, labels, preconditions, keys, pages, and who sees what."""

import asyncio
from pathlib import Path

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.server.core import labels as labels_module
from remsim.server.core.tokens import Scope, TokenRole
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.rspro import (
    BankSlotStatusInd,
    SlotPhysStatus,
)
from tests.doubles.reaching import reaches
from tests.doubles.rest_lab import V2, Lab, obey, problem, serve_mappings
from tests.doubles.server_rig import RigPeer, connect_bank, connect_client, rest_client, running_server

ICCIDS = ("8900101234567890018", "8900101234567890026", "8900101234567890034")
ABSENT = SlotPhysStatus(reset_active=False, card_present=False)


class TestMappings:
    async def test_put_is_idempotent_and_says_what_is_missing(self, lab: Lab) -> None:
        first = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:3"})
        again = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:3"})
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["created_at"] == again.json()["created_at"]
        assert first.headers["etag"] == again.headers["etag"]
        shown = (await lab.admin.get(f"{V2}/mappings/C7:0")).json()
        assert (shown["bank"], shown["state"]["state"], shown["operational"]) == ("B1:3", "stored", False)
        assert shown["missing"] == ["bank 1 was never connected", "client C7:0 was never connected"]
        assert shown["state"]["source"] == "server"
        assert shown["state"]["age_s"] >= 0

    async def test_put_waits_until_the_modem_can_use_the_card(self, lab: Lab) -> None:
        bank, client = await lab.bank(1), await lab.client(7)
        url = f"{V2}/mappings/C7:0?wait=operational&timeout=20s"
        async with asyncio.TaskGroup() as tasks:
            putting = tasks.create_task(lab.admin.put(url, json={"card": "B1:3"}))
            await serve_mappings(bank)
            assert not putting.done()
            await obey(client)
        answer = putting.result()
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert (body["state"]["state"], body["state"]["source"], body["missing"]) == ("active", "B1", [])
        assert body["operational"] is True

    async def test_put_that_waits_in_vain_says_how_far_it_came(self, lab: Lab) -> None:
        bank = await lab.bank(1)
        async with asyncio.TaskGroup() as tasks:
            putting = tasks.create_task(
                lab.admin.put(f"{V2}/mappings/C7:0?wait=active&timeout=20s", json={"card": "B1:3"})
            )
            await serve_mappings(bank)
        assert putting.result().status_code == 201
        bank.send(BankSlotStatusInd(BankSlot(1, 3), ClientSlot(7, 0), ABSENT))
        await bank.settle()
        answer = await lab.admin.put(f"{V2}/mappings/C7:0?wait=operational&timeout=1ms", json={"card": "B1:3"})
        assert answer.status_code == 202
        missing = ["there is no card in the slot, or no reader", "client C7:0 was never connected"]
        assert answer.json()["missing"] == missing
        await bank.close()
        await lab.bank_is_gone(1)
        missing = (await lab.admin.get(f"{V2}/mappings/C7:0")).json()["missing"]
        assert missing[0].startswith("bank 1 is not connected since 20")

    async def test_another_card_replaces_the_first_in_one_change(self, lab: Lab) -> None:
        bank = await lab.bank(1)
        assert (await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:3"})).status_code == 201
        await serve_mappings(bank)
        async with asyncio.TaskGroup() as tasks:
            putting = tasks.create_task(
                lab.admin.put(f"{V2}/mappings/C7:0?wait=active&timeout=20s", json={"card": "B1:4"})
            )
            await serve_mappings(bank)
        assert putting.result().json()["bank"] == "B1:4"
        assert [item["bank"] for item in (await lab.admin.get(f"{V2}/mappings")).json()["items"]] == ["B1:4"]
        actions = [(e["action"], e["detail"]) for e in (await lab.admin.get(f"{V2}/audit")).json()["items"]]
        assert actions[-1] == ("mapping.change", "-B1:3 C7:0, +B1:4 C7:0")

    async def test_card_in_use_is_a_conflict_and_changes_nothing(self, lab: Lab) -> None:
        for client, bank in (("C7:0", "B1:3"), ("C8:0", "B1:4")):
            assert (await lab.admin.put(f"{V2}/mappings/{client}", json={"card": bank})).status_code == 201
        answer = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:4"})
        assert problem(answer, 409, "conflict") == "B1:4 is mapped to C8:0 already"
        assert (await lab.admin.get(f"{V2}/mappings/C7:0")).json()["bank"] == "B1:3"
        # Nothing is left reserved.
        assert (await lab.admin.delete(f"{V2}/mappings/C8:0")).status_code == 204
        assert (await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:4"})).status_code == 201

    async def test_preconditions(self, lab: Lab) -> None:
        url = f"{V2}/mappings/C7:0"
        one = await lab.admin.put(url, json={"card": "B1:3"}, headers={"If-None-Match": "*"})
        assert one.status_code == 201
        exists = await lab.admin.put(url, json={"card": "B1:4"}, headers={"If-None-Match": "*"})
        problem(exists, 412, "exists")
        tag = one.headers["etag"]
        other = await lab.admin.put(url, json={"card": "B1:4"}, headers={"If-Match": tag})
        assert other.status_code == 201
        problem(await lab.admin.put(url, json={"card": "B1:5"}, headers={"If-Match": tag}), 412, "changed")
        problem(await lab.admin.delete(url, headers={"If-Match": tag}), 412, "changed")
        assert (await lab.admin.delete(url, headers={"If-Match": other.headers["etag"]})).status_code == 204
        problem(await lab.admin.delete(url), 404, "not_found")

    @pytest.mark.parametrize(
        ("body", "headers", "status", "code"),
        [
            (b"{", {"content-type": "application/json"}, 400, "bad_request"),
            (b'{"card": "X"}', {"content-type": "application/json"}, 400, "bad_request"),
            (b'{"card": "B1:3", "more": 1}', {"content-type": "application/json"}, 400, "bad_request"),
            (b'{"card": "B1:3"}', {"content-type": "text/plain"}, 415, "bad_content_type"),
            (b" " * 70_000, {"content-type": "application/json"}, 413, "too_large"),
            (b'{"card": "iccid:8900101234567890018"}', {"content-type": "application/json"}, 404, "not_found"),
            (b'{"card": "label:nothing"}', {"content-type": "application/json"}, 404, "not_found"),
        ],
    )
    async def test_what_cannot_be_done_is_said(
        self, lab: Lab, body: bytes, headers: dict[str, str], status: int, code: str
    ) -> None:
        problem(await lab.admin.put(f"{V2}/mappings/C7:0", content=body, headers=headers), status, code)

    async def test_another_method_is_refused_with_those_that_there_are(self, lab: Lab) -> None:
        answer = await lab.admin.post(f"{V2}/mappings/C7:0")
        problem(answer, 405, "bad_method")
        assert answer.headers["allow"]
        problem(await lab.admin.get(f"{V2}/nowhere"), 404, "not_found")


class TestCards:
    async def lab_with_cards(self, lab: Lab) -> RigPeer:
        bank = await lab.bank(1)
        for nr, iccid in enumerate(ICCIDS):
            bank.send(CardInd(BankSlot(1, nr), iccid))
        await bank.settle()
        return bank

    async def test_card_is_found_by_its_number_and_by_labels(self, lab: Lab) -> None:
        bank = await self.lab_with_cards(lab)
        for subject in (f"iccid:{ICCIDS[1]}", "B1:2"):
            answer = await lab.admin.put(f"{V2}/labels/{subject}", json={"labels": ["roaming"]})
            assert answer.status_code == 200, answer.text
        by_number = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": f"iccid:{ICCIDS[0]}"})
        assert by_number.json()["bank"] == "B1:0"
        for client, slot in (("C8:0", "B1:1"), ("C8:1", "B1:2")):
            answer = await lab.admin.put(f"{V2}/mappings/{client}", json={"card": "label:roaming"})
            assert (answer.status_code, answer.json()["bank"]) == (201, slot)
        # A card of the pool that it has already is kept.
        assert (await lab.admin.put(f"{V2}/mappings/C8:1", json={"card": "label:roaming"})).status_code == 200
        answer = await lab.admin.put(f"{V2}/mappings/C9:0", json={"card": "label:roaming"})
        assert problem(answer, 409, "conflict") == "none of the 2 cards is free"
        # A card that went is in no pool.
        bank.send(CardInd(BankSlot(1, 1), None))
        await bank.settle()
        answer = await lab.admin.put(f"{V2}/mappings/C9:0", json={"card": f"iccid:{ICCIDS[1]}"})
        problem(answer, 404, "not_found")

    @pytest.mark.parametrize("number", ["8968005BC00000000001", "8968005bc00000000001"])
    async def test_number_with_letters_is_found_however_it_is_written(self, lab: Lab, number: str) -> None:
        bank = await lab.bank(1)
        bank.send(CardInd(BankSlot(1, 2), "8968005BC00000000001"))
        await bank.settle()
        assert (await lab.admin.get(f"{V2}/cards/{number}")).json()["iccid"] == "896800…0001"
        mapped = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": f"iccid:{number}"})
        assert mapped.json()["bank"] == "B1:2"
        labelled = await lab.admin.put(f"{V2}/labels/iccid:{number}", json={"labels": ["roaming"]})
        assert labelled.status_code == 200

    async def test_numbers_are_shortened_unless_an_admin_asks(self, lab: Lab) -> None:
        await self.lab_with_cards(lab)
        viewer = await lab.caller(TokenRole.VIEWER)
        for rest in (viewer, lab.admin):
            text = (await rest.get(f"{V2}/cards")).text + (await rest.get(f"{V2}/cards/{ICCIDS[0]}")).text
            assert "890010…0018" in text
            assert not [iccid for iccid in ICCIDS if iccid in text]
        problem(await viewer.get(f"{V2}/cards?reveal=true"), 403, "forbidden")
        shown = (await lab.admin.get(f"{V2}/cards?reveal=true")).json()["items"]
        assert [card["iccid"] for card in shown] == list(ICCIDS)
        entries = (await lab.admin.get(f"{V2}/audit")).json()["items"]
        assert [(e["outcome"], e["target"]) for e in entries if e["action"] == "card.reveal"] == [
            ("refused", "all"),
            ("done", "all"),
        ]

    async def test_what_is_claimed_of_a_card_ends_with_who_knows(self, lab: Lab) -> None:
        bank = await self.lab_with_cards(lab)
        presence = (await lab.admin.get(f"{V2}/cards/{ICCIDS[0]}")).json()["presence"]
        assert (presence["state"], presence["source"]) == ("present", "B1")
        assert presence["since"].endswith("Z")
        await bank.close()
        await lab.bank_is_gone(1)
        assert (await lab.admin.get(f"{V2}/cards/{ICCIDS[0]}")).json()["presence"]["state"] == "unknown"
        link = (await lab.admin.get(f"{V2}/banks/1")).json()["link"]
        assert (link["state"], link["source"]) == ("absent", "server")
        slot = (await lab.admin.get(f"{V2}/banks/1/slots/0")).json()
        assert slot["card"]["state"] == "unknown"
        assert "iccid" not in slot

    async def test_labels_are_changed_read_and_taken_away(self, lab: Lab) -> None:
        url = f"{V2}/labels/B1:3"
        empty = await lab.admin.get(url)
        assert empty.json() == {"subject": "B1:3", "labels": []}
        put = await lab.admin.put(url, json={"labels": ["b", "a", "b"]}, headers={"If-Match": empty.headers["etag"]})
        assert put.json()["labels"] == ["a", "b"]
        problem(
            await lab.admin.put(url, json={"labels": []}, headers={"If-Match": empty.headers["etag"]}), 412, "changed"
        )
        assert (await lab.admin.get(f"{V2}/labels")).json()["items"] == [put.json()]
        for wrong in ({"labels": [" "]}, {"labels": ["x\n"]}, {"labels": "a"}, {"labels": ["a"] * 9}):
            problem(await lab.admin.put(url, json=wrong), 400, "bad_request")
        problem(await lab.admin.put(f"{V2}/labels/X", json={"labels": []}), 400, "bad_request")
        assert (await lab.admin.put(url, json={"labels": []})).status_code == 200
        assert (await lab.admin.get(f"{V2}/labels")).json() == {"items": []}

    @reaches(LimitName.LABELS)
    async def test_no_more_subjects_than_the_limit_have_labels(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(labels_module, "MAX_SUBJECTS", 1)
        assert (await lab.admin.put(f"{V2}/labels/B1:0", json={"labels": ["a"]})).status_code == 200
        problem(await lab.admin.put(f"{V2}/labels/B1:1", json={"labels": ["a"]}), 409, "too_many")
        assert (await lab.admin.put(f"{V2}/labels/B1:0", json={"labels": ["b"]})).status_code == 200


async def test_labels_and_known_peers_are_there_after_a_restart(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        assert (await rest.put(f"{V2}/labels/C7:0", json={"labels": ["van 3"]})).status_code == 200
        async with await connect_bank(service, 1), await connect_client(service, 7):
            link = (await rest.get(f"{V2}/banks/1")).json()["link"]
            assert (link["state"], link["source"]) == ("connected", "server")
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        (client,) = (await rest.get(f"{V2}/clients")).json()["items"]
        (slot,) = client["slots"]
        assert (slot["labels"], slot["link"]["state"], slot["link"]["source"]) == (["van 3"], "absent", "database")
        assert slot["last_seen_at"] <= slot["link"]["since"]
        (bank,) = (await rest.get(f"{V2}/banks")).json()["items"]
        assert (bank["bank"], bank["slots"], bank["link"]["state"]) == (1, 8, "absent")


async def test_a_key_makes_a_repeated_post_one(lab: Lab) -> None:
    bank = await lab.bank(1)
    url, key = f"{V2}/banks/1/reset", {"Idempotency-Key": "night shift 1"}
    assert [(await lab.admin.post(url, headers=key)).status_code for _ in range(3)] == [202] * 3
    entries = [entry["action"] for entry in (await lab.admin.get(f"{V2}/audit")).json()["items"]]
    assert entries.count("bank.reset") == 1
    assert (await lab.admin.post(url, headers={"Idempotency-Key": "2"})).status_code == 202
    entries = [entry["action"] for entry in (await lab.admin.get(f"{V2}/audit")).json()["items"]]
    assert entries.count("bank.reset") == 2
    # What was refused was not done, so the same key may be used again.
    missing = f"{V2}/banks/2/reset"
    for _ in range(2):
        problem(await lab.admin.post(missing, headers=key), 404, "not_found")
    await bank.close()


async def test_answer_that_is_given_again_has_its_tag(lab: Lab) -> None:
    assert (await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:0"})).status_code == 201
    url, key = f"{V2}/mappings/C7:0/reinsert", {"Idempotency-Key": "k"}
    first, again = [await lab.admin.post(url, headers=key) for _ in range(2)]
    assert (first.status_code, again.headers["idempotent-replay"]) == (200, "true")
    assert (
        first.headers["etag"] == again.headers["etag"] == (await lab.admin.get(f"{V2}/mappings/C7:0")).headers["etag"]
    )
    problem(await lab.admin.post(url, headers={"Idempotency-Key": ""}), 400, "bad_request")


async def test_how_long_a_caller_waits_is_no_part_of_what_it_asks_for(lab: Lab) -> None:
    order, key = {"pool": "label:none", "client": "C7:0", "for": "2h", "wait": "1h"}, {"Idempotency-Key": "k"}
    answers = [await lab.admin.post(f"{V2}/leases?timeout={text}", json=order, headers=key) for text in ("1ms", "2ms")]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]


async def test_any_card_is_one_that_is_free_and_can_be_used(lab: Lab) -> None:
    for slot in ("B1:0", "B2:0", "B2:1", "B2:2"):
        await lab.admin.put(f"{V2}/labels/{slot}", json={"labels": ["pool"]})
    bank = await lab.bank(2)
    for nr, iccid in enumerate(ICCIDS):
        bank.send(CardInd(BankSlot(2, nr), iccid))
    await bank.settle()
    clients = [f"C7:{nr}" for nr in range(3)]
    order = {"card": "label:pool"}
    answers = await asyncio.gather(*(lab.admin.put(f"{V2}/mappings/{client}", json=order) for client in clients))
    assert [answer.status_code for answer in answers] == [201] * 3
    # Bank 1 is not there, so its card is the last.
    assert {answer.json()["bank"] for answer in answers} == {"B2:0", "B2:1", "B2:2"}
    last = await lab.admin.put(f"{V2}/mappings/C7:3", json=order)
    assert last.json()["bank"] == "B1:0"
    problem(await lab.admin.put(f"{V2}/mappings/C7:4", json=order), 409, "conflict")
    await bank.close()


async def test_lists_come_in_pages(lab: Lab) -> None:
    for nr in range(5):
        assert (await lab.admin.put(f"{V2}/mappings/C7:{nr}", json={"card": f"B1:{nr}"})).status_code == 201
    for path, key in (("mappings", "client"), ("clients/7/slots", "slot"), ("banks/1/slots", "slot")):
        found: list[str] = []
        cursor: str | None = ""
        for _ in range(3):
            answer = (await lab.admin.get(f"{V2}/{path}?limit=2{cursor}")).json()
            found += [item[key] for item in answer["items"]]
            cursor = f"&cursor={answer['next']}" if "next" in answer else None
        assert found == [f"{'B1' if path.startswith('banks') else 'C7'}:{nr}" for nr in range(5)]
        assert cursor is None
    audited = (await lab.admin.get(f"{V2}/audit?limit=3")).json()
    behind = (await lab.admin.get(f"{V2}/audit?cursor={audited['next']}")).json()
    assert behind["items"][0]["id"] == audited["items"][-1]["id"] + 1
    for wrong in ("limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=WyJhIl0", "cursor=W10"):
        problem(await lab.admin.get(f"{V2}/mappings?{wrong}"), 400, "bad_request")


class TestLimitedTokens:
    """A token that is for one bank and one client."""

    async def test_sees_nothing_of_others_in_lists_and_counts(self, lab: Lab) -> None:
        mine, theirs = await lab.bank(1), await lab.bank(2)
        for bank, peer in ((1, mine), (2, theirs)):
            peer.send(CardInd(BankSlot(bank, 0), ICCIDS[bank]))
            await peer.settle()
        for client, card in (("C7:0", "B1:0"), ("C8:0", "B2:0"), ("C8:1", "B1:1"), ("C7:1", "B2:1")):
            assert (await lab.admin.put(f"{V2}/mappings/{client}", json={"card": card})).status_code == 201
        for subject in ("B1:0", "B2:0", "C7:0", "C8:0", f"iccid:{ICCIDS[1]}", f"iccid:{ICCIDS[2]}"):
            await lab.admin.put(f"{V2}/labels/{subject}", json={"labels": [f"of {subject[:2]}"]})
        rest = await lab.caller(TokenRole.OPERATOR, Scope(frozenset({1}), frozenset({7})))
        seen = {path: (await rest.get(f"{V2}/{path}")).json()["items"] for path in ("banks", "clients", "cards")}
        assert [(bank["bank"], bank["mappings"]) for bank in seen["banks"]] == [(1, 1)]
        assert [client["client"] for client in seen["clients"]] == [7]
        assert [card["slot"] for card in seen["cards"]] == ["B1:0"]
        assert [item["client"] for item in (await rest.get(f"{V2}/mappings")).json()["items"]] == ["C7:0"]
        slots = (await rest.get(f"{V2}/banks/1/slots")).json()["items"]
        assert [slot.get("mapping", {}).get("client") for slot in slots[:2]] == ["C7:0", None]
        subjects = [item["subject"] for item in (await rest.get(f"{V2}/labels")).json()["items"]]
        assert subjects == ["B1:0", "C7:0", "iccid:890010…0026"]
        hidden = ("banks/2", "banks/2/slots", "clients/8", "mappings/C8:0", "mappings/C7:1", "labels/B2:0")
        for path in (*hidden, f"cards/{ICCIDS[2]}", f"labels/iccid:{ICCIDS[2]}"):
            problem(await rest.get(f"{V2}/{path}"), 404, "not_found")
        everything = " ".join([(await rest.get(f"{V2}/{path}")).text for path in ("banks", "clients", "mappings")])
        assert "B2" not in everything
        assert "C8" not in everything
        # Neither that one of them has ended.
        for client in ("C8:1", "C7:0"):
            assert (await lab.admin.delete(f"{V2}/mappings/{client}")).status_code == 204
        for caller, ended in ((lab.admin, 2), (rest, 1)):
            slots = (await caller.get(f"{V2}/banks/1/slots")).json()["items"]
            assert len([slot for slot in slots if "unmapped_since" in slot]) == ended

    async def test_changes_nothing_of_others(self, lab: Lab) -> None:
        for client, card in (("C8:0", "B1:1"), ("C7:1", "B2:1")):
            assert (await lab.admin.put(f"{V2}/mappings/{client}", json={"card": card})).status_code == 201
        rest = await lab.caller(TokenRole.OPERATOR, Scope(frozenset({1}), frozenset({7})))
        problem(await rest.put(f"{V2}/mappings/C8:1", json={"card": "B1:3"}), 403, "forbidden")
        problem(await rest.put(f"{V2}/mappings/C7:0", json={"card": "B2:3"}), 403, "forbidden")
        for client, card in (("C7:0", "B1:1"), ("C7:1", "B1:5")):
            said = problem(await rest.put(f"{V2}/mappings/{client}", json={"card": card}), 409, "conflict")
            assert "not for" in said
        problem(await rest.delete(f"{V2}/mappings/C7:1"), 404, "not_found")
        problem(await rest.put(f"{V2}/labels/B2:1", json={"labels": ["x"]}), 404, "not_found")
        problem(await rest.get(f"{V2}/tokens"), 403, "forbidden")
        problem(await rest.get(f"{V2}/audit"), 403, "forbidden")
        problem(await rest.post(f"{V2}/banks/1/reset"), 403, "forbidden")

    async def test_admin_with_limits_reads_no_tokens(self, lab: Lab) -> None:
        rest = await lab.caller(TokenRole.ADMIN, Scope(frozenset({1}), None))
        problem(await rest.get(f"{V2}/tokens"), 403, "forbidden")
        problem(await rest.get(f"{V2}/audit"), 403, "forbidden")


async def test_tokens_are_listed_without_their_secrets(lab: Lab) -> None:
    await lab.caller(TokenRole.VIEWER, Scope(frozenset({1, 2}), None))
    answer = await lab.admin.get(f"{V2}/tokens")
    found = {item["role"]: item for item in answer.json()["items"]}
    assert found["viewer"]["banks"] == [1, 2]
    assert "banks" not in found["admin"]
    assert "digest" not in answer.text


async def test_a_mapping_that_follows_its_card(lab: Lab) -> None:
    bank = await lab.bank(1)
    unknown = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:0", "follow": "card"})
    assert problem(unknown, 409, "conflict") == "the number of the card in B1:0 is not known, so it cannot be followed"
    bank.send(CardInd(BankSlot(1, 0), ICCIDS[0]))
    await bank.settle()
    first = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": f"iccid:{ICCIDS[0]}"})
    assert first.json()["follow"] == "slot"
    second = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:0", "follow": "card"})
    assert (second.status_code, second.json()["follow"], second.headers["etag"]) == (200, "card", first.headers["etag"])
    # Also when nobody knows what is in the slot.
    bank.send(CardInd(BankSlot(1, 0), None))
    await bank.settle()
    again = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:0", "follow": "card"})
    assert (again.status_code, again.json()["follow"]) == (200, "card")
    bank.send(CardInd(BankSlot(1, 0), ICCIDS[0]))
    await bank.settle()
    # What it follows is kept unless the order says something else.
    third = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:0"})
    assert third.json()["follow"] == "card"
    for nr, iccid in ((0, None), (5, ICCIDS[0])):
        bank.send(CardInd(BankSlot(1, nr), iccid))
    await bank.settle()
    runtime = lab.service.runtime
    assert runtime is not None
    assert await runtime.changes.until(lambda: runtime.query.mapping(BankSlot(1, 5)), 20)
    moved = (await lab.admin.get(f"{V2}/mappings/C7:0")).json()
    assert (moved["bank"], moved["follow"]) == ("B1:5", "card")
    back = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:5", "follow": "slot"})
    assert (back.status_code, back.json()["follow"]) == (200, "slot")
    actions = [entry["action"] for entry in (await lab.admin.get(f"{V2}/audit")).json()["items"]]
    assert actions == ["token.create", "mapping.change", "mapping.follow", "mapping.follow", "mapping.follow"]
