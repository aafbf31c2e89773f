# SPDX-License-Identifier: Apache-2.0
"""A desired state as a whole, over a whole server: what differs, all or nothing, and what is no part of it."""

from remsim.core.ids import BankSlot
from remsim.redaction import shorten_iccid
from remsim.server.core.tokens import Scope, TokenRole
from remsim.wire.messages.extensions import CardInd
from tests.doubles.rest_lab import V2, Lab, problem

ICCIDS = ("8900101234567890018", "8900101234567890026", "8900101234567890034")


class TestApply:
    """A desired state as a whole."""

    async def state(self, lab: Lab) -> tuple[dict[str, str], dict[str, list[str]]]:
        mappings = (await lab.admin.get(f"{V2}/mappings")).json()["items"]
        labels = (await lab.admin.get(f"{V2}/labels")).json()["items"]
        return {m["client"]: m["bank"] for m in mappings}, {item["subject"]: item["labels"] for item in labels}

    async def test_difference_is_shown_and_then_made(self, lab: Lab) -> None:
        for client, card in (("C7:0", "B1:0"), ("C7:1", "B1:1"), ("C7:2", "B1:2")):
            assert (await lab.admin.put(f"{V2}/mappings/{client}", json={"card": card})).status_code == 201
        for subject in ("B1:5", "C7:0"):
            await lab.admin.put(f"{V2}/labels/{subject}", json={"labels": ["old"]})
        before = await self.state(lab)
        fleet = {
            "mappings": {"C7:0": "B1:0", "C7:1": "B1:2", "C8:0": "label:old"},
            "labels": {"B1:5": ["old"], "C9:0": ["b", "a"]},
        }
        dry = await lab.admin.post(f"{V2}/apply?dry_run=true", json=fleet)
        assert dry.status_code == 200, dry.text
        assert await self.state(lab) == before
        made = await lab.admin.post(f"{V2}/apply", json=fleet)
        assert dry.json()["changes"] == made.json()["changes"]
        assert made.json() == {
            "dry_run": False,
            "changes": [
                {"kind": "mapping", "subject": "C7:1", "before": "B1:1", "after": "B1:2"},
                {"kind": "mapping", "subject": "C7:2", "before": "B1:2"},
                {"kind": "mapping", "subject": "C8:0", "after": "B1:5"},
                {"kind": "labels", "subject": "C7:0", "before": "old"},
                {"kind": "labels", "subject": "C9:0", "after": "a, b"},
            ],
        }
        assert await self.state(lab) == (
            {"C7:0": "B1:0", "C7:1": "B1:2", "C8:0": "B1:5"},
            {"B1:5": ["old"], "C9:0": ["a", "b"]},
        )
        assert (await lab.admin.post(f"{V2}/apply", json=fleet)).json()["changes"] == []
        # A part that is left out stays.
        assert (await lab.admin.post(f"{V2}/apply", json={"labels": {}})).status_code == 200
        assert await self.state(lab) == ({"C7:0": "B1:0", "C7:1": "B1:2", "C8:0": "B1:5"}, {})

    async def test_nothing_is_done_where_one_part_cannot_be(self, lab: Lab) -> None:
        assert (await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:0"})).status_code == 201
        before = await self.state(lab)
        fleets: list[tuple[dict[str, dict[str, object]], int, str]] = [
            ({"mappings": {"C8:0": "B1:3", "C9:0": "B1:3"}}, 409, "conflict"),
            ({"mappings": {"C8:0": "label:none"}}, 409, "conflict"),
            ({"mappings": {"C8:0": "X"}}, 400, "bad_request"),
            ({"mappings": {"X": "B1:3"}}, 400, "bad_request"),
            ({"mappings": {"C8:0": "B1:3"}, "labels": {"B1:0": ["\n"]}}, 400, "bad_request"),
            ({"mappings": {"C8:0": "B1:3"}, "labels": {"X": ["a"]}}, 400, "bad_request"),
            ({"mappings": {"C7:0": "B1:3", "C07:0": "B1:4"}}, 400, "bad_request"),
        ]
        for fleet, status, code in fleets:
            problem(await lab.admin.post(f"{V2}/apply", json=fleet), status, code)
        assert await self.state(lab) == before

    async def test_trial_fails_where_the_change_would_and_keeps_nothing(self, lab: Lab) -> None:
        lock = f"{V2}/banks/1/slots/1/lock"
        bank = await lab.bank(1)
        assert (await lab.admin.put(lock, json={"reason": "worn"})).status_code == 200
        for fleet, status, code in (
            ({"mappings": {"C7:0": "B1:1"}}, 409, "conflict"),
            ({"labels": {"B1:0": list("abcdefghi")}}, 400, "bad_request"),
            ({"mappings": {"C7:0": "B1:0"}, "labels": {"B1:0": [""]}}, 400, "bad_request"),
        ):
            tried = await lab.admin.post(f"{V2}/apply?dry_run=true", json=fleet)
            assert tried.json() == (await lab.admin.post(f"{V2}/apply", json=fleet)).json()
            problem(tried, status, code)
        fleet = {"mappings": {"C7:0": "B1:0"}}
        for _ in range(2):
            assert (await lab.admin.post(f"{V2}/apply?dry_run=true", json=fleet)).status_code == 200
        assert await self.state(lab) == ({}, {})
        # Nothing is reserved for what was only tried.
        assert (await lab.admin.put(f"{V2}/mappings/C8:0", json={"card": "B1:0"})).status_code == 201
        await bank.close()

    async def test_what_is_on_loan_is_left_alone(self, lab: Lab) -> None:
        await lab.admin.put(f"{V2}/labels/B1:5", json={"labels": ["pool"]})
        lease = await lab.admin.post(f"{V2}/leases", json={"pool": "label:pool", "client": "C7:0", "for": "2h"})
        assert lease.status_code == 201
        made = await lab.admin.post(f"{V2}/apply", json={"mappings": {"C8:0": "B1:0"}})
        assert [change["subject"] for change in made.json()["changes"]] == ["C8:0"]
        assert await self.state(lab) == ({"C7:0": "B1:5", "C8:0": "B1:0"}, {"B1:5": ["pool"]})
        for wanted, part in (
            ({"C7:0": "B1:0"}, "C7:0 has its card on loan, by lease 1"),
            ({"C9:0": "B1:5"}, "B1:5 is in use"),
            ({"C9:0": "label:pool"}, "none of the 1 cards of label:pool is free"),
        ):
            assert part in problem(await lab.admin.post(f"{V2}/apply", json={"mappings": wanted}), 409, "conflict")
        # A file may say what is so already.
        same = await lab.admin.post(f"{V2}/apply", json={"mappings": {"C7:0": "label:pool", "C8:0": "B1:0"}})
        assert same.json()["changes"] == []
        limited = await lab.caller(TokenRole.OPERATOR, Scope(frozenset({2}), frozenset({7})))
        said = problem(await limited.post(f"{V2}/apply", json={"mappings": {"C7:0": "B2:0"}}), 409, "conflict")
        assert "loan" not in said
        states = [item["state"]["state"] for item in (await lab.admin.get(f"{V2}/leases")).json()["items"]]
        assert states == ["granted"]

    async def test_key_of_a_trial_is_not_that_of_the_change(self, lab: Lab) -> None:
        fleet, key = {"mappings": {"C7:0": "B1:0"}}, {"Idempotency-Key": "k"}
        tried = await lab.admin.post(f"{V2}/apply?dry_run=true", json=fleet, headers=key)
        assert tried.json()["dry_run"] is True
        problem(await lab.admin.post(f"{V2}/apply", json=fleet, headers=key), 422, "key_reused")
        again = await lab.admin.post(f"{V2}/apply?dry_run=true", json=fleet, headers=key)
        assert again.headers["idempotent-replay"] == "true"
        assert again.json() == tried.json()

    async def test_key_makes_it_once(self, lab: Lab) -> None:
        key = {"Idempotency-Key": "k"}
        first = await lab.admin.post(f"{V2}/apply", json={"mappings": {"C7:0": "B1:0"}}, headers=key)
        again = await lab.admin.post(f"{V2}/apply", json={"mappings": {"C7:0": "B1:0"}}, headers=key)
        assert len(first.json()["changes"]) == 1
        assert again.json() == first.json()
        assert again.headers["idempotent-replay"] == "true"
        other = await lab.admin.post(f"{V2}/apply", json={"mappings": {}}, headers=key)
        problem(other, 422, "key_reused")

    async def test_limited_token_touches_its_part_only(self, lab: Lab) -> None:
        for client, card in (("C7:0", "B1:0"), ("C8:0", "B1:1"), ("C7:1", "B2:0")):
            assert (await lab.admin.put(f"{V2}/mappings/{client}", json={"card": card})).status_code == 201
        for subject in ("B1:0", "B2:0"):
            await lab.admin.put(f"{V2}/labels/{subject}", json={"labels": ["x"]})
        rest = await lab.caller(TokenRole.OPERATOR, Scope(frozenset({1}), frozenset({7})))
        for fleet, status, code in (
            ({"mappings": {"C8:0": "B1:5"}}, 409, "conflict"),
            ({"mappings": {"C7:1": "B1:5"}}, 409, "conflict"),
            ({"mappings": {"C7:5": "B1:1"}}, 409, "conflict"),
            ({"mappings": {"C9:0": "B1:5"}}, 403, "forbidden"),
            ({"mappings": {"C7:5": "B2:5"}}, 409, "conflict"),
            ({"labels": {"B2:1": ["y"]}}, 403, "forbidden"),
        ):
            problem(await rest.post(f"{V2}/apply", json=fleet), status, code)
        done = await rest.post(f"{V2}/apply", json={"mappings": {}, "labels": {}})
        assert [change["subject"] for change in done.json()["changes"]] == ["C7:0", "B1:0"]
        assert await self.state(lab) == ({"C8:0": "B1:1", "C7:1": "B2:0"}, {"B2:0": ["x"]})

    async def test_what_mappings_follow_is_part_of_the_state(self, lab: Lab) -> None:
        bank = await lab.bank(1)
        for nr, iccid in enumerate(ICCIDS):
            bank.send(CardInd(BankSlot(1, nr), iccid))
        await bank.settle()
        followed = {"card": f"iccid:{ICCIDS[0]}", "follow": "card"}
        fleet = {"mappings": {"C7:0": followed, "C7:1": "B1:1", "C7:2": {"card": "B1:2", "follow": "slot"}}}
        dry = await lab.admin.post(f"{V2}/apply?dry_run=true", json=fleet)
        made = await lab.admin.post(f"{V2}/apply", json=fleet)
        assert dry.json()["changes"] == made.json()["changes"]
        assert made.json()["changes"][0] == {"kind": "mapping", "subject": "C7:0", "after": "B1:0, follows its card"}
        assert await self.follows(lab) == {"C7:0": "card", "C7:1": "slot", "C7:2": "slot"}
        assert (await lab.admin.post(f"{V2}/apply", json=fleet)).json()["changes"] == []
        # A mapping that stays is not made anew for it; and what is not said of it stays.
        tags = [(await lab.admin.get(f"{V2}/mappings/C7:{nr}")).headers["etag"] for nr in range(3)]
        other = {"mappings": {"C7:0": "B1:0", "C7:1": {"card": "B1:1", "follow": "card"}, "C7:2": "B1:2"}}
        (change,) = (await lab.admin.post(f"{V2}/apply", json=other)).json()["changes"]
        assert (change["subject"], change["before"], change["after"]) == ("C7:1", "B1:1", "B1:1, follows its card")
        assert [(await lab.admin.get(f"{V2}/mappings/C7:{nr}")).headers["etag"] for nr in range(3)] == tags
        assert await self.follows(lab) == {"C7:0": "card", "C7:1": "card", "C7:2": "slot"}
        entries = (await lab.admin.get(f"{V2}/audit")).json()["items"]
        assert entries[-1]["detail"] == f"C7:1 follows the card {shorten_iccid(ICCIDS[1])}"
        # Two exchange what they follow, and the card of a third one is not known.
        swap = {"C7:0": {"card": "B1:1", "follow": "card"}, "C7:1": {"card": "B1:0", "follow": "card"}}
        assert (await lab.admin.post(f"{V2}/apply", json={"mappings": swap})).status_code == 200
        assert await self.follows(lab) == {"C7:0": "card", "C7:1": "card"}
        unknown = {"C7:0": "B1:1", "C7:1": "B1:0", "C7:5": {"card": "B1:5", "follow": "card"}}
        problem(await lab.admin.post(f"{V2}/apply", json={"mappings": unknown}), 409, "conflict")
        assert await self.follows(lab) == {"C7:0": "card", "C7:1": "card"}
        await bank.close()

    async def follows(self, lab: Lab) -> dict[str, str]:
        return {item["client"]: item["follow"] for item in (await lab.admin.get(f"{V2}/mappings")).json()["items"]}
