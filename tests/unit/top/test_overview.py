# SPDX-License-Identifier: Apache-2.0
"""What ``remsim top`` makes of lists and events: rows, ages, problems, and what it says where nothing is heard."""

from remsim.rest import models
from remsim.rest.warnings import WarningModel
from remsim.top.overview import MAX_EVENTS, Overview, age_text

_AT = "2026-11-29T14:03:00.000Z"


def _link(state: str, age_s: float = 5.0) -> dict[str, object]:
    return {"state": state, "source": "server", "since": _AT, "age_s": age_s}


def bank(number: int, state: str = "connected", mappings: int = 0) -> models.BankModel:
    return models.BankModel.model_validate(
        {
            "bank": number,
            "link": _link(state),
            "clients_go_to": [],
            "slots": 2,
            "mappings": mappings,
            "known_cards": 0,
        }
    )


def mapping(client: str, slot: str, *missing: str, state: str = "active") -> dict[str, object]:
    return {
        "client": client,
        "bank": slot,
        "state": _link(state, 3.0),
        "operational": not missing,
        "missing": list(missing),
        "created_at": _AT,
    }


def slot(name: str, mapped: dict[str, object] | None = None, **others: object) -> models.BankSlotModel:
    values: dict[str, object] = {"slot": name, "labels": [], "card": _link("present", 60.0), "mapping": mapped}
    return models.BankSlotModel.model_validate(values | others)


def client(name: str, state: str = "connected", mapped: dict[str, object] | None = None) -> models.ClientModel:
    values: dict[str, object] = {"slot": name, "labels": [], "link": _link(state), "name": "modem", "mapping": mapped}
    return models.ClientModel.model_validate({"client": int(name[1:].partition(":")[0]), "slots": [values]})


def event(number: int, level: str = "info") -> models.EventModel:
    return models.EventModel.model_validate(
        {
            "id": f"1-{number}",
            "at": _AT,
            "kind": "peer_lost",
            "level": level,
            "bank_slot": "B1:0",
            "data": {"n": "\x1b"},
        }
    )


def filled() -> Overview:
    overview = Overview()
    waiting = mapping("C7:0", "B1:1", "client C7:0 is not connected")
    slots = [
        slot("B10:0", mapping("C9:0", "B10:0", "bank 10 is not connected", state="stored")),
        slot("B1:1", waiting, labels=["roaming"]),
        slot("B1:0", reader="suspended", iccid="890010…0018"),
    ]
    overview.replace([bank(1), bank(10, "absent", mappings=1)], slots, [client("C7:0", "absent", waiting)], 100.0)
    return overview


def test_slots_stand_in_their_order_with_ages_that_go_on() -> None:
    rows = filled().slot_rows(104.0)
    assert [row.cells for row in rows] == [
        ("B1:0", "reader suspended", "890010…0018", "", "", "1m"),
        ("B1:1", "present", "roaming", "C7:0", "waits", "7s"),
        ("B10:0", "present", "", "C9:0", "stored", "7s"),
    ]
    assert [row.is_wrong for row in rows] == [True, True, True]


def test_mapping_that_the_token_is_not_for_is_called_hidden() -> None:
    overview = Overview()
    seen = client("C7:0")
    seen = seen.model_copy(update={"slots": [seen.slots[0].model_copy(update={"hidden_mapping": True})]})
    overview.replace([bank(1)], [slot("B1:0", hidden_mapping=True), slot("B1:1")], [seen], 100.0)
    assert [row.cells[3] for row in overview.slot_rows(100.0)] == ["hidden", ""]
    assert [row.cells[4] for row in overview.client_rows(100.0)] == ["hidden"]


def test_problem_of_a_bank_stands_for_those_of_its_slots() -> None:
    found = filled().problems(101.0)
    assert [(problem.where, problem.age_s) for problem in found] == [("C7:0-B1:1", 4.0), ("B10", 6.0), ("B1:0", None)]
    assert found[0].text == "client C7:0 is not connected"


def test_what_is_missing_is_as_old_as_the_server_says_and_not_as_its_mapping() -> None:
    overview = Overview()
    waiting = mapping("C7:0", "B1:1", "client C7:0 is not connected")
    waiting["usability"] = _link("hindered", 1.0)
    overview.replace([bank(1)], [slot("B1:1", waiting)], [client("C7:0", "absent", waiting)], 100.0)
    (row,) = overview.slot_rows(102.0)
    assert row.cells[-2:] == ("waits", "3s")
    assert [(problem.where, problem.age_s) for problem in overview.problems(102.0)] == [("C7:0-B1:1", 3.0)]


def warning(about: str, severity: str = "warning", age_s: float = 10.0) -> WarningModel:
    return WarningModel.model_validate(
        {
            "id": 1,
            "kind": "disk",
            "about": about,
            "severity": severity,
            "since": _AT,
            "age_s": age_s,
            "text": f"{about} is wrong",
            "hint": "mend it",
        }
    )


def test_what_the_server_warns_of_stands_first_and_for_what_we_found_of_the_same() -> None:
    overview = filled()
    overview.warn([warning("B10"), warning("server", "error", 1000.0), warning("C7:0", age_s=1.0)], 100.0)
    found = overview.problems(105.0)
    assert [(problem.where, problem.age_s) for problem in found] == [
        ("server", 1005.0),
        ("C7:0", 6.0),
        ("B10", 15.0),
        ("B1:0", None),
    ]
    assert found[0].text == "server is wrong: mend it"
    assert [problem.is_error for problem in found] == [True, False, False, False]
    overview.warn([], 106.0)
    assert "server" not in [problem.where for problem in overview.problems(106.0)]


def test_search_looks_at_all_cells() -> None:
    overview = filled()
    assert [row.name for row in overview.slot_rows(100.0, "ROAM")] == ["B1:1"]
    assert [row.name for row in overview.client_rows(100.0, "c7")] == ["C7:0"]
    assert overview.client_rows(100.0, "nothing of that") == []


def test_a_slot_that_changes_replaces_what_was_heard_of_it() -> None:
    overview = filled()
    overview.put_slot(slot("B1:0"), 110.0)
    assert overview.slot_rows(110.0)[0].cells[1] == "present"
    overview.put_client(client("C7:0").slots[0], 110.0)
    assert overview.client_rows(111.0)[0].cells[:3] == ("C7:0", "connected", "6s")


def test_counts_tell_what_is_there_of_how_many() -> None:
    assert filled().counts() == "banks 1/2  cards 3/3 slots  clients 0/1  mapped 2"


def test_states_are_stale_from_the_first_failure_until_the_lists_came_anew() -> None:
    overview = filled()
    seen = [overview.stale_since]
    for reason, now in (("closed", 120.0), ("refused", 125.0)):
        overview.lose(reason, now)
        seen.append(overview.stale_since)
    assert overview.stale_reason == "refused"
    overview.replace([], [], [], 130.0)
    assert [*seen, overview.stale_since] == [None, 120.0, 120.0, None]


def test_events_are_shown_newest_first_bounded_and_without_control_characters() -> None:
    overview = Overview()
    for number in range(MAX_EVENTS + 5):
        overview.add_event(event(number, "warning" if number % 2 else "info"))
    rows = overview.event_rows()
    assert len(rows) == MAX_EVENTS
    assert (rows[0].name, rows[0].is_wrong) == (f"1-{MAX_EVENTS + 4}", False)
    assert rows[0].cells == ("14:03:00", "peer_lost", "B1:0", r"n=\x1b")


def test_ages_are_short() -> None:
    assert [age_text(each) for each in (None, 0.9, 59, 61, 3600, 90000)] == ["", "0s", "59s", "1m", "1h", "1d"]
