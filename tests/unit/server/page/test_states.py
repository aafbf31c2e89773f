# SPDX-License-Identifier: Apache-2.0
"""The age that the page shows beside a state is that of the state, and so is its source."""

import pytest

from remsim.rest import models
from remsim.server.page import states

EARLY, LATE = "2026-11-29T14:03:00.000Z", "2026-11-29T15:00:00.000Z"


def link(state: str = "connected") -> models.LinkObserved:
    return models.LinkObserved.model_validate({"state": state, "source": "server", "since": EARLY})


def bank_slot(**more: object) -> models.BankSlotModel:
    card = {"state": "present", "source": "B1", "since": EARLY}
    return models.BankSlotModel.model_validate({"slot": "B1:3", "labels": [], "card": card, **more})


def client_slot(**more: object) -> models.ClientSlotModel:
    return models.ClientSlotModel.model_validate({"slot": "C7:0", "labels": [], "link": link(), **more})


def mapping(*missing: str, usability: str | None = LATE) -> models.MappingModel:
    observed = {"state": "operational", "source": "C7:0", "since": usability}
    return models.MappingModel.model_validate(
        {
            "client": "C7:0",
            "bank": "B1:3",
            "state": {"state": "active", "source": "B1", "since": EARLY},
            "operational": not missing,
            "usability": None if usability is None else observed | {"state": "hindered" if missing else "operational"},
            "missing": list(missing),
            "created_at": EARLY,
        }
    )


@pytest.mark.parametrize("missing", [(), ("client C7:0 is not connected since 2026-11-29T15:00:00Z",)])
def test_use_of_a_card_is_as_old_as_what_decides_it(missing: tuple[str, ...]) -> None:
    found = mapping(*missing)
    shown = states.of_bank_slot(bank_slot(mapping=found), link())
    assert (shown.state, shown.since, shown.source) == ("waiting" if missing else "active", LATE, "C7:0")
    assert states.of_client_slot(client_slot(mapping=found)) == shown
    # A server that does not tell.
    old = states.of_mapping(mapping(*missing, usability=None))
    assert (old.since, old.source) == (EARLY, "B1")


def test_free_is_what_has_lost_its_mapping_since_then() -> None:
    for shown in (
        states.of_bank_slot(bank_slot(unmapped_since=LATE), link()),
        states.of_client_slot(client_slot(unmapped_since=LATE)),
    ):
        assert (shown.state, shown.since, shown.source) == ("free", LATE, "server")


def test_free_is_what_has_come_after_its_last_mapping_since_it_came() -> None:
    card = {"state": "present", "source": "B1", "since": LATE}
    shown = states.of_bank_slot(bank_slot(card=card, unmapped_since=EARLY), link())
    assert (shown.since, shown.source) == (LATE, "B1")
    shown = states.of_bank_slot(bank_slot(), link())
    assert (shown.since, shown.source) == (EARLY, "B1")


def test_what_has_a_hidden_mapping_is_not_free() -> None:
    for found in (
        states.of_bank_slot(bank_slot(hidden_mapping=True), link()),
        states.of_client_slot(client_slot(hidden_mapping=True)),
    ):
        assert (found.state, found.text) == ("unknown", "mapped, to something that the token is not for")
        assert (found.since, found.source) == (None, "server")
    assert states.of_bank_slot(bank_slot(hidden_mapping=True, reader="suspended"), link()).state == "problem"
    assert states.of_bank_slot(bank_slot(hidden_mapping=True), link("absent")).state == "away"
