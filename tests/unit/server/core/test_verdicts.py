# SPDX-License-Identifier: Apache-2.0
"""The rules by which slots are judged, at their edges."""

import re
from dataclasses import replace

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.peers import SessionReport
from remsim.server.core.verdicts import (
    BUSY_S,
    CLIENT_RULES,
    MIN_CUTS,
    MIN_ERRORS,
    MIN_REFUSED,
    MIN_SAMPLES,
    RECENT_S,
    SLOT_RULES,
    WAITING_S,
    ClientFacts,
    SlotFacts,
    VerdictKind,
    client_verdict,
    slot_verdict,
)
from remsim.wire.messages.health import (
    CardErrorKind,
    ClientCounters,
    ClientHealthInd,
    ClientPhase,
    LastError,
    Quantiles,
    RecentErrors,
    SameStatus,
    SessionPhase,
    SlotCounters,
    SlotHealthInd,
)
from remsim.wire.messages.rspro import ReaderHealthInd, ReaderState
from tests.reference import ROOT

SLOT, CLIENT = BankSlot(1, 3), ClientSlot(7, 0)
GOOD = SlotHealthInd(
    bank_slot=SLOT,
    is_present=True,
    presence_age_ms=5000,
    phase=SessionPhase.NONE,
    phase_age_ms=0,
    counters=SlotCounters(),
    recent=RecentErrors(),
    reader="reader",
)
FACTS = SlotFacts(
    report=GOOD,
    report_age_s=0.0,
    reader=None,
    session=None,
    session_age_s=0.0,
    is_present=True,
    is_mapped=True,
)
AT_WORK = ClientHealthInd(CLIENT, ClientPhase.OPERATIONAL, 60_000, ClientCounters())


def kind_of(facts: SlotFacts, **changes: object) -> VerdictKind:
    """The verdict with another report."""
    assert facts.report is not None
    return slot_verdict(replace(facts, report=replace(facts.report, **changes))).kind  # type: ignore[arg-type]


def client_kind(age_s: float = 0.0, **changes: object) -> VerdictKind:
    """The verdict on a client with this report."""
    return client_verdict(ClientFacts(replace(AT_WORK, **changes), age_s)).kind  # type: ignore[arg-type]


def test_a_slot_at_work_is_well() -> None:
    verdict = slot_verdict(FACTS)
    assert (verdict.kind, verdict.text, verdict.advice) == (VerdictKind.OK, "", "")
    assert not verdict.kind.is_trouble


def test_of_a_slot_that_nobody_tells_of_nothing_is_claimed() -> None:
    verdict = slot_verdict(replace(FACTS, report=None, is_present=None, unknown="bank 1 does not tell"))
    assert (verdict.kind, verdict.text) == (VerdictKind.UNKNOWN, "bank 1 does not tell")
    assert not verdict.kind.is_trouble


@pytest.mark.parametrize("errors", [0, MIN_ERRORS - 1])
def test_a_few_transmission_errors_are_an_accident(errors: int) -> None:
    assert kind_of(FACTS, recent=RecentErrors(0, errors), last_error=LastError(CardErrorKind.TRANSMISSION, 0)) == "ok"


def test_contact_trouble_is_told_with_what_to_do_and_clears_itself() -> None:
    last = LastError(CardErrorKind.TRANSMISSION, 180_000)
    facts = replace(FACTS, report=replace(GOOD, recent=RecentErrors(0, 14), last_error=last))
    verdict = slot_verdict(facts)
    assert verdict.text == "contact trouble: 14 transmission errors in 1 h, last 3 min ago"
    assert verdict.advice == "clean the card or move it to another slot"
    assert slot_verdict(replace(facts, report_age_s=120.0)).text.endswith("last 5 min ago")
    # Even if the bank tells nothing more, after an hour none of them is recent.
    assert slot_verdict(replace(facts, report_age_s=RECENT_S - 180.1)).kind is VerdictKind.CONTACT
    assert slot_verdict(replace(facts, report_age_s=RECENT_S - 180.0)).kind is VerdictKind.OK


def test_edge_of_mute_cards() -> None:
    last = LastError(CardErrorKind.MUTE, 0)
    assert kind_of(FACTS, recent=RecentErrors(MIN_ERRORS - 1, 0), last_error=last) is VerdictKind.OK
    assert kind_of(FACTS, recent=RecentErrors(MIN_ERRORS, 0), last_error=last) is VerdictKind.MUTE


def test_edge_of_cards_that_refuse_everything() -> None:
    assert kind_of(FACTS, same_status=SameStatus(0x6F00, MIN_REFUSED - 1, 0)) is VerdictKind.OK
    verdict = slot_verdict(replace(FACTS, report=replace(GOOD, same_status=SameStatus(0x6F00, MIN_REFUSED, 60_000))))
    assert verdict.kind is VerdictKind.BROKEN
    assert verdict.text == "answers 6F00 to everything, 10 commands in 1 min"
    assert verdict.age_s == 60.0


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        (Quantiles(MIN_SAMPLES - 1, 10, 9_000_000), VerdictKind.OK),
        (Quantiles(MIN_SAMPLES, 10, 999_999), VerdictKind.OK),
        (Quantiles(MIN_SAMPLES, 10, 1_000_000), VerdictKind.SLOW),
    ],
)
def test_edges_of_slow_cards(times: Quantiles, kind: VerdictKind) -> None:
    assert kind_of(FACTS, card_time=times) is kind


def test_slow_card_is_told_with_its_time() -> None:
    facts = replace(FACTS, report=replace(GOOD, card_time=Quantiles(256, 20_000, 2_100_000)))
    assert slot_verdict(facts).text == "card is slow: p99 2.1 s"


@pytest.mark.parametrize("state", [ReaderState.SUSPENDED, ReaderState.PROBING])
def test_reader_that_does_not_answer_comes_first(state: ReaderState) -> None:
    reader = ReaderHealthInd(SLOT, state, 5, "card mute 00a40004023f00 \x1b[31m")
    verdict = slot_verdict(replace(FACTS, reader=reader, is_present=False))
    assert verdict.kind is VerdictKind.READER
    assert verdict.text.startswith("reader does not answer: card mute <bytes>")
    assert verdict.text.endswith(", 5 failures in a row")
    assert verdict.text.isprintable()


def test_empty_slots_matter_if_a_client_wants_them() -> None:
    empty = replace(FACTS, report=replace(GOOD, is_present=False), is_present=False)
    verdict = slot_verdict(replace(empty, report_age_s=2.0))
    assert (verdict.kind, verdict.age_s) == (VerdictKind.NO_CARD, 7.0)
    assert slot_verdict(replace(empty, is_mapped=False)).kind is VerdictKind.OK
    bare = replace(empty, report=replace(GOOD, is_present=False, reader=None))
    assert slot_verdict(bare).kind is VerdictKind.NO_READER
    assert slot_verdict(replace(bare, is_mapped=False)).kind is VerdictKind.OK
    # A bankd that tells no more than presence is enough for that.
    assert slot_verdict(replace(empty, report=None)).kind is VerdictKind.NO_CARD


def test_held_session_is_told_while_it_is_held() -> None:
    held = replace(FACTS, session=SessionReport(CLIENT, "DETACHED", 0.0, 1), session_age_s=12.7)
    verdict = slot_verdict(held)
    assert (verdict.kind, verdict.text) == (VerdictKind.HELD, "held for 12 s: link to the client lost")
    assert verdict.age_s == 12.7
    back = replace(held, session=SessionReport(CLIENT, "RESUMABLE", 0.0, 1))
    assert slot_verdict(back).kind is VerdictKind.OK


def test_edge_of_busy_readers() -> None:
    facts = replace(FACTS, report=replace(GOOD, last_error=LastError(CardErrorKind.READER_BUSY, 0)))
    assert slot_verdict(replace(facts, report_age_s=BUSY_S)).kind is VerdictKind.BUSY
    assert slot_verdict(replace(facts, report_age_s=BUSY_S + 0.1)).kind is VerdictKind.OK
    assert kind_of(facts, last_error=LastError(CardErrorKind.NO_READER, 0)) is VerdictKind.OK


def test_a_client_at_work_is_well() -> None:
    assert client_kind() is VerdictKind.OK
    assert client_kind(has_hardware=True) is VerdictKind.OK


def test_of_a_client_that_does_not_tell_nothing_is_claimed() -> None:
    verdict = client_verdict(ClientFacts(None, 0.0, "client C7:0 was never connected"))
    assert (verdict.kind, verdict.text) == (VerdictKind.UNKNOWN, "client C7:0 was never connected")


def test_board_that_is_away_is_told() -> None:
    assert client_kind(has_hardware=False) is VerdictKind.HARDWARE


def test_client_that_holds_its_modem_is_told_with_the_time() -> None:
    facts = ClientFacts(replace(AT_WORK, phase=ClientPhase.HOLDING, phase_age_ms=10_000), 2.5)
    assert client_verdict(facts).text == "held for 12 s: link to the bankd lost"
    assert client_verdict(facts).age_s == 12.5


def test_edge_of_clients_that_wait() -> None:
    changes: dict[str, object] = {"phase": ClientPhase.WAIT_BANKD, "phase_age_ms": 4000, "bank_slot": SLOT}
    assert client_kind(WAITING_S - 4.1, **changes) is VerdictKind.OK
    assert client_kind(WAITING_S - 4.0, **changes) is VerdictKind.WAITING


def test_edge_of_unsteady_networks() -> None:
    assert client_kind(counters=ClientCounters(recent_cuts=MIN_CUTS - 1)) is VerdictKind.OK
    assert client_kind(counters=ClientCounters(recent_cuts=MIN_CUTS)) is VerdictKind.UNSTEADY
    assert client_kind(RECENT_S, counters=ClientCounters(recent_cuts=MIN_CUTS)) is VerdictKind.OK


@pytest.mark.parametrize(
    ("samples", "p99_us", "kind"),
    [
        (MIN_SAMPLES - 1, 5_000_000, VerdictKind.OK),
        (MIN_SAMPLES, 999_999, VerdictKind.OK),
        (MIN_SAMPLES, 1_000_000, VerdictKind.FAR),
    ],
)
def test_edges_of_far_clients(samples: int, p99_us: int, kind: VerdictKind) -> None:
    assert client_kind(round_trip=Quantiles(samples, 0, p99_us)) is kind


def test_every_kind_of_trouble_has_one_rule_with_advice() -> None:
    of_slots, of_clients = [rule.kind for rule in SLOT_RULES], [rule.kind for rule in CLIENT_RULES]
    assert len(set(of_slots)) == len(of_slots)
    assert len(set(of_clients)) == len(of_clients)
    assert {*of_slots, *of_clients} == {kind for kind in VerdictKind if kind.is_trouble}
    assert all(rule.advice for rule in SLOT_RULES)
    assert all(rule.advice for rule in CLIENT_RULES)


def test_manual_has_every_kind() -> None:
    page = (ROOT / "docs" / "manual" / "rest.md").read_text(encoding="utf-8")
    table = page.partition("| `kind` |")[2].partition("\n\n")[0]
    shown = [kind for line in table.splitlines()[2:] for kind in re.findall(r"`([a-z-]+)`", line.split("|")[1])]
    assert sorted(shown) == sorted(kind.value for kind in VerdictKind)
