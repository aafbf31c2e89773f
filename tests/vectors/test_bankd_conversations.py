# SPDX-License-Identifier: Apache-2.0
"""Recorded sessions of the C suite, replayed against our bank: the recorded bytes of the bankd come out.

Where ours acts differently because a defect is mended, the test names the line of known-limits.md.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from remsim.bankd.core.actions import BankdAction, SendResponse
from remsim.bankd.core.coordinator import BankdCoordinator
from remsim.trace.gsmtap import AtrRecord, TpduRecord, TraceRecord, encode_gsmtap
from remsim.wire.link.actions import LinkId, PeerAddress, Send
from remsim.wire.link.engine import Event, KeepAliveTimes, LinkEngine
from remsim.wire.messages.rspro import ComponentType
from tests.doubles.bank import BANKD, StubCards, as_message, stub_atr
from tests.doubles.conversation import PlayedConnection, Player, RecordedConnection, RecordedSession, load_session

Reference = Callable[..., Path]


class BankAdapter:
    """Our bank in place of the recorded one."""

    def __init__(self, role: str = "bankd", *, bank_id: int = 1, slots: int = 4, has_cards: bool = True) -> None:
        self._role = role
        self._bank_id = bank_id
        self._slots = slots
        self._has_cards = has_cards
        self.start()

    def start(self) -> None:
        """A bankd that was just started: it remembers nothing."""
        traced = frozenset(range(self._slots))
        self.cards = StubCards()
        self.cards.coordinator = self.coordinator = BankdCoordinator(
            bank_id=self._bank_id, cards=self.cards.ports(self._slots), identity=BANKD, traced_slots=traced
        )
        for slot_nr in range(self._slots):
            self.coordinator.on_presence(slot_nr, is_present=self._has_cards, reader=f"reader {slot_nr}", now=0.0)

    def connection(self, recorded: RecordedConnection, now: float) -> LinkEngine:
        is_dialled = recorded.dialled_by == self._role
        peer = ComponentType.REMSIM_SERVER if is_dialled else ComponentType.REMSIM_CLIENT
        keep_alive = KeepAliveTimes(first_after_s=0.0 if is_dialled else 30.0)
        return LinkEngine(identity=BANKD, peer=peer, now=now, keep_alive=keep_alive)

    def on_link_up(self, link: LinkId, peer: PeerAddress, recorded: RecordedConnection, now: float) -> list[object]:
        is_dialled = recorded.dialled_by == self._role
        return list[object](self.coordinator.on_link_up(link, peer, now, is_dialled=is_dialled))

    def on_event(self, link: LinkId, event: Event, now: float) -> list[object]:
        return list[object](self.coordinator.on_event(link, event, now))

    def on_link_lost(self, link: LinkId, reason: str, now: float) -> list[object]:
        return list[object](self.coordinator.on_link_lost(link, reason, now))

    def next_deadline(self) -> float | None:
        return self.coordinator.next_deadline()

    def handle_timer(self, now: float) -> list[object]:
        return list[object](self.coordinator.handle_timer(now))

    def on_action(self, what: str, now: float) -> list[object]:
        if what == "bankd started again":
            self.start()
        if what == "card inserted":
            actions: list[object] = []
            for slot_nr in range(self._slots):
                actions += self.coordinator.on_presence(slot_nr, is_present=True, reader=f"reader {slot_nr}", now=now)
            return actions
        return []

    def perform(self, action: object, now: float) -> list[object]:
        if isinstance(action, SendResponse):
            return [Send(action.link, as_message(action), action.tag)]
        return list[object](self.cards.perform(cast(BankdAction, action), now))


def play(reference: Reference, number: int, adapter: BankAdapter, role: str = "bankd") -> dict[int, PlayedConnection]:
    session = load_session(reference(), number)
    return Player(session, role, adapter).run()


def lead(played: PlayedConnection) -> list[str]:
    return [frame.partition(" ")[0] for frame in played.sent]


UNCHANGED = (1, 3, 4, 5, 6, 8, 9, 10, 15, 16, 18, 19, 20, 21, 22, 26)


def assert_as_recorded(played: dict[int, PlayedConnection], *, role: str = "bankd") -> None:
    for connection in played.values():
        assert connection.sent == connection.expected, connection.recorded
        assert connection.was_closed_by_us == (connection.recorded.closed_by == role), connection.recorded


@pytest.mark.parametrize("number", UNCHANGED)
def test_recorded_session_comes_out_byte_for_byte(reference: Reference, number: int) -> None:
    assert_as_recorded(play(reference, number, BankAdapter(has_cards=number != 20)))


def _only(session: RecordedSession, numbers: set[int]) -> RecordedSession:
    return replace(
        session,
        connections=tuple(one for one in session.connections if one.number in numbers),
        frames=tuple(frame for frame in session.frames if frame.connection in numbers),
    )


def test_command_that_is_too_short_is_answered_and_the_rest_refused_as_recorded(reference: Reference) -> None:
    """The C bankd closes the connection for a command of 4 bytes, which costs the modem its card."""
    session = load_session(reference(), 25)
    assert_as_recorded(Player(_only(session, {1, *range(3, 9)}), "bankd", BankAdapter()).run())
    short = Player(_only(session, {1, 2}), "bankd", BankAdapter()).run()[2]
    assert short.sent[:-1] == short.expected
    assert short.sent[-1].startswith("TpduCardToModem ")
    assert short.sent[-1].endswith("04026700")
    assert not short.was_closed_by_us


def test_session_with_real_pcscd_comes_out_byte_for_byte(reference: Reference) -> None:
    adapter = BankAdapter(slots=2)
    adapter.cards.atr = lambda _slot_nr: stub_atr(1)
    assert_as_recorded(play(reference, 31, adapter))


def test_session_with_two_banks_comes_out_byte_for_byte(reference: Reference) -> None:
    assert_as_recorded(play(reference, 11, BankAdapter()))
    assert_as_recorded(play(reference, 11, BankAdapter("bankd2", bank_id=2), "bankd2"), role="bankd2")


def test_reset_edges_reach_the_card_as_recorded(reference: Reference) -> None:
    adapter = BankAdapter()
    play(reference, 26, adapter)
    resets = [what for _slot, what in adapter.cards.log if what in ("cold", "warm")]
    assert resets == ["warm", "warm", "cold", "cold", "warm", "cold"]


def test_second_reset_without_return_of_vcc_has_no_effect(reference: Reference) -> None:
    adapter = BankAdapter()
    assert_as_recorded(play(reference, 7, adapter))
    assert [what for _slot, what in adapter.cards.log] == ["open", "cold", "transmit 00b0000002"]


def test_atr_that_changes_in_a_reset_is_sent_again(reference: Reference) -> None:
    """Line 45 of known-limits.md is mended: the C bankd keeps the new ATR to itself."""
    adapter = BankAdapter()
    adapter.cards.atr = lambda slot_nr: stub_atr(slot_nr if adapter.cards.resets == 0 else 99)
    connection = play(reference, 7, adapter)[3]
    extra = [frame for frame in connection.sent if frame not in connection.expected]
    assert len(extra) == 1
    assert extra[0].startswith("SetAtrReq")
    assert stub_atr(99).hex() in extra[0]
    assert [frame for frame in connection.sent if frame not in extra] == connection.expected


def test_bankd_refused_as_second_keeps_trying(reference: Reference) -> None:
    assert_as_recorded(play(reference, 13, BankAdapter()))
    adapter = BankAdapter("bankd2")
    for connection in play(reference, 13, adapter, "bankd2").values():
        assert connection.sent == connection.expected
    assert adapter.coordinator.control.active_server is None


def test_silent_session_is_kept_alive_from_both_ends(reference: Reference) -> None:
    """Line 40 is mended: PINGs go to the client as well (the recording holds no answer to those)."""
    for connection in play(reference, 14, BankAdapter()).values():
        assert connection.sent == connection.expected, connection.recorded


def test_bank_comes_back_without_its_mappings(reference: Reference) -> None:
    played = play(reference, 17, BankAdapter())
    for connection in played.values():
        assert connection.sent == connection.expected, connection.recorded


def test_late_mapping_is_announced_with_the_atr(reference: Reference) -> None:
    """Line 42 is mended: the C bankd opens the card and says nothing, so the client never learns."""
    connection = play(reference, 23, BankAdapter())[2]
    assert lead(connection) == ["ConnectClientRes", "SetAtrReq", "TpduCardToModem"]
    assert [frame for frame in connection.sent if not frame.startswith("SetAtrReq")] == connection.expected


def test_late_card_is_announced_at_once(reference: Reference) -> None:
    """Line 44 is mended: the C bankd finds the card in its next poll, up to 10 s later."""
    adapter = BankAdapter(has_cards=False)
    connection = play(reference, 24, adapter)[2]
    assert connection.sent == connection.expected
    assert adapter.coordinator.next_deadline() is None


def test_every_request_of_a_server_is_answered_as_recorded(reference: Reference) -> None:
    """But for ID_GET, which names our own values; errorInd and configClientIdReq stay unanswered."""
    for connection in play(reference, 27, BankAdapter()).values():
        sent = [frame for frame in connection.sent if not frame.startswith("CCM")]
        assert sent == [frame for frame in connection.expected if not frame.startswith("CCM")]
        assert connection.was_closed_by_us == (connection.recorded.closed_by == "bankd")


def test_gsmtap_is_that_of_the_reference(reference: Reference) -> None:
    """The recorded datagrams: connecting, three commands, and a card error after which the client reconnects."""
    recorded = json.loads(reference("vectors", "gsmtap", "bankd.json").read_text(encoding="utf-8"))["datagrams"]
    expected = [bytes.fromhex(entry["hex"]) for entry in recorded]
    atr = expected[0][16:]
    records: list[TraceRecord] = [AtrRecord(2, atr)]
    for datagram in expected[1:4]:
        tpdu_length = 5 if datagram[17] == 0xB0 else 5 + datagram[20]
        records.append(TpduRecord(2, datagram[16 : 16 + tpdu_length], datagram[16 + tpdu_length :]))
    records.append(AtrRecord(2, atr))
    assert [encode_gsmtap(record) for record in records] == expected
