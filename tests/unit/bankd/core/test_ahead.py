# SPDX-License-Identifier: Apache-2.0
"""Answers ahead in a bank's coordinator: no guess that a rule is about; a failed restoring ends the session."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address

from remsim.ahead.figures import AheadFigures
from remsim.ahead.library import Library, Pair
from remsim.bankd.core.actions import BankdAction, CardAttached, Origin, RunAhead, SendResponse, StoreLearnt
from remsim.bankd.core.ahead import YIELD_S, AheadPolicy
from remsim.bankd.core.coordinator import BankdCoordinator
from remsim.bankd.core.session import CardSession, QueuedCommand
from remsim.bankd.metrics import BankdMetrics
from remsim.bankd.stuck import StuckReaders
from remsim.card.reset import ResetKind
from remsim.client.metrics import ClientMetrics
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.policy.guard import PRESETS, GuardPolicy, parse_guard_policy
from remsim.wire.link.abilities import ABILITIES, AHEAD
from remsim.wire.link.actions import Close, LinkId, PeerAddress, Send
from remsim.wire.link.events import Received
from remsim.wire.messages import rspro
from remsim.wire.messages.extensions import AheadInd, AheadUsedInd
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ResultCode
from tests.doubles.noted_log import NotedLog
from tests.reference import ROOT

_BANK, _CLIENT = BankSlot(1, 0), ClientSlot(7, 0)
_LINK, _SERVER = LinkId(10), LinkId(1)
_ATR = bytes.fromhex("3b9f96801f")
_ME = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "remsim-bankd", "1")
_THEM = ComponentIdentity(ComponentType.REMSIM_SERVER, "server", "remsim-server", "1")
_MODEM = ComponentIdentity(ComponentType.REMSIM_CLIENT, "modem", "remsim-client", "1")
_MF, _ICCID, _FETCH, _READ = (
    bytes.fromhex(command) for command in ("00a4000c023f00", "00a40004022fe2", "00c0000005", "00b000000a")
)
_NO_RULES = GuardPolicy(())
_START = [_MF, _ICCID, _FETCH, _READ]


class _Card:
    """Answers at once, as it is told."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.tell: Callable[[float], None] = lambda _seconds: None
        self.answers: dict[bytes, bytes] = {_ICCID: b"\x61\x05", _FETCH: b"\x62\x03\x82\x01\x00\x90\x00"}

    def submit(self, tpdu: bytes, /) -> bytes:
        self.seen.append(tpdu)
        self.tell(0.25)
        return self.answers.get(tpdu, b"\x90\x00")


class _World:
    """A bank with one card in service of a client that is far away."""

    def __init__(
        self,
        policy: GuardPolicy = _NO_RULES,
        abilities: tuple[str, ...] = (*ABILITIES, AHEAD),
        allows: Callable[[int], bool] = lambda _slot_nr: True,
    ) -> None:
        library = Library()
        library.learn(Pair(_BANK, _CLIENT, _ATR), _START)
        self.card = _Card()
        self.bank = BankdCoordinator(
            bank_id=1,
            cards=[self.card],
            identity=_ME,
            reads_numbers=False,
            policy=policy,
            ahead=AheadPolicy(library, {_CLIENT: 0.3}, allows=allows),
        )
        self.done: list[BankdAction] = []
        self.now = 0.0
        self._abilities = abilities
        bank = self.bank
        address = PeerAddress(IPv4Address("192.0.2.9"), 1)
        bank.on_presence(0, is_present=True, reader="r", now=0.0)
        bank.on_link_up(_SERVER, address, 0.0, is_dialled=True)
        bank.on_event(_SERVER, Received(rspro.ConnectBankRes(_THEM, ResultCode.OK), 1), 0.0)
        bank.on_event(_SERVER, Received(rspro.CreateMappingReq(_CLIENT, _BANK), 1), 0.0)
        self.attach(_LINK)
        self.card.tell = bank.cards.positions[0].on_card_time

    def attach(self, link: LinkId) -> None:
        """The client comes over this link, and the card is opened for it."""
        self.bank.on_link_up(link, PeerAddress(IPv4Address("192.0.2.9"), 1), self.now)
        request = rspro.ConnectClientReq(_MODEM.with_abilities(self._abilities), _CLIENT)
        self.bank.on_event(link, Received(request, 1), self.now)
        attached = [a for a in self.bank.on_card_opened(0, _ATR, self.now) if isinstance(a, CardAttached)]
        self._submit = attached[0].submit

    def command(self, tag: int, tpdu: bytes) -> bytes | None:
        """One of the modem's; what follows in later turns of the loop is done, too."""
        response = self._submit(tag, tpdu, Origin.MODEM, self.now)
        self.turns(self.bank.take())
        return response

    def turns(self, actions: list[BankdAction]) -> None:
        while actions:
            self.done += actions
            due = [action for action in actions if isinstance(action, RunAhead)]
            self.now += sum(action.delay_s for action in due)
            actions = self.bank.on_ahead_turn(0, self.now) if due else []

    def ahead(self) -> list[bytes]:
        """Commands whose answers were sent ahead."""
        sent = [action.message for action in self.done if isinstance(action, Send)]
        return [message.command for message in sent if isinstance(message, AheadInd)]


def test_what_the_modem_will_send_is_run_and_sent_ahead() -> None:
    world = _World()
    assert world.command(5, _MF) == b"\x90\x00"
    assert world.ahead() == [_ICCID, _FETCH, _READ]
    assert world.bank.counts.tpdus == 1
    world.bank.on_event(_LINK, Received(AheadUsedInd(5, 2), 6), 0.3)
    assert world.bank.counts.tpdus == 3
    assert world.command(7, _READ) == b"\x90\x00"
    assert world.card.seen == _START


def test_wrong_guesses_are_undone_before_the_command() -> None:
    world = _World()
    world.command(5, _MF)
    other = bytes.fromhex("00a40004022f05")
    assert world.command(6, other) == b"\x90\x00"
    assert world.card.seen[:6] == [*_START, _MF, other]


def test_what_cannot_be_restored_ends_the_session_and_the_command_is_not_run() -> None:
    world = _World()
    world.command(5, _MF)
    world.card.answers[_MF] = b"\x6a\x82"
    other = bytes.fromhex("00d6000001ff")
    assert world.command(6, other) is None
    assert other not in world.card.seen
    assert any(isinstance(action, Close) and action.link == _LINK for action in world.done)


def test_command_that_a_rule_is_about_is_not_guessed() -> None:
    text = '[[rule]]\nname = "no reading"\naction = "log"\nins = ["B0"]\n'
    world = _World(parse_guard_policy(text, "rules", PRESETS))
    world.command(5, _MF)
    assert world.ahead() == [_ICCID, _FETCH]
    assert world.bank.counts.noted_commands == 0
    world.bank.on_event(_LINK, Received(AheadUsedInd(5, 2), 6), 0.3)
    world.command(7, _READ)
    assert world.bank.counts.noted_commands == 1


def test_client_without_the_ability_gets_nothing_ahead() -> None:
    world = _World(abilities=ABILITIES)
    assert world.command(5, _MF) == b"\x90\x00"
    assert (world.ahead(), world.card.seen) == ([], [_MF])
    assert world.bank.on_event(_LINK, Received(AheadUsedInd(5, 2), 6), 0.3) == []


def test_slot_that_is_not_allowed_gets_nothing_ahead() -> None:
    world = _World(allows=lambda slot_nr: slot_nr != 0)
    assert world.command(5, _MF) == b"\x90\x00"
    assert (world.ahead(), world.card.seen) == ([], [_MF])


def test_new_policy_counts_for_sessions_that_begin_behind_it() -> None:
    world = _World(allows=lambda _slot_nr: False)
    library = Library()
    library.learn(Pair(_BANK, _CLIENT, _ATR), _START)
    world.bank.on_ahead_policy(AheadPolicy(library, {_CLIENT: 0.3}))
    world.command(5, _MF)
    assert (world.ahead(), world.card.seen) == ([], [_MF])
    world.bank.on_link_lost(_LINK, "cut", 1.0)
    world.bank.on_card_closed(0, 1.0)
    world.now = 2.0
    world.attach(LinkId(11))
    world.command(5, _MF)
    assert world.ahead() == [_ICCID, _FETCH, _READ]


def test_start_is_learnt_when_the_card_is_reset() -> None:
    world = _World()
    new = bytes.fromhex("00a40004022f05")
    for tag, command in enumerate((_MF, new, _MF, new, _MF), start=5):
        world.command(tag, command)
    off = rspro.SlotPhysStatus(reset_active=True, vcc_present=False, clk_active=False)
    actions = world.bank.on_event(_LINK, Received(rspro.ClientSlotStatusInd(_CLIENT, _BANK, off), 20), 1.0)
    assert any(getattr(action, "kind", None) is ResetKind.COLD for action in actions)
    actions = world.bank.on_card_reset(0, _ATR, 1.0)
    assert [action for action in actions if isinstance(action, StoreLearnt)] == [
        StoreLearnt(Pair(_BANK, _CLIENT, _ATR))
    ]
    assert world.command(21, _MF) == b"\x90\x00"
    assert not any(isinstance(action, SendResponse) for action in world.done)


def test_figures_tell_what_guesses_did_and_where_the_time_went() -> None:
    world = _World()
    world.command(5, _MF)
    assert world.bank.latency(0).ahead == AheadFigures(guesses=3)
    world.now = 0.3
    world.bank.on_event(_LINK, Received(AheadUsedInd(5, 1), 6), 0.3)
    world.command(7, bytes.fromhex("00a40004022f05"))
    figures = world.bank.latency(0)
    assert (figures.commands, figures.round_trips, figures.hold_s) == (3, 2, 0.0)
    ahead = figures.ahead
    assert (ahead.hits, ahead.misses, ahead.undone) == (1, 1, 2)
    assert ahead.restores >= 1
    # No modem waits while the card runs a guess.
    assert figures.card_s == 0.25 * (2 + ahead.restores)
    assert ahead.saved_s > 0
    assert figures.round_trip_s == 0.3


def test_figures_outlive_the_session_whose_end_tells_them() -> None:
    world = _World()
    world.command(5, _MF)
    world.bank.on_event(_LINK, Received(AheadUsedInd(5, 3), 6), 0.3)
    before = world.bank.latency(0)
    actions = world.bank.on_link_lost(_LINK, "cut", 1.0)
    (line,) = [action for action in actions if isinstance(action, LogEvent) and action.name == "answered_ahead"]
    assert (line.bank_slot, line.client_slot) == (_BANK, _CLIENT)
    assert {"guesses": 3, "hits": 3, "undone": 0}.items() <= line.fields.items()
    world.bank.on_card_closed(0, 1.0)
    assert world.bank.latency(0).ahead == before.ahead
    assert world.bank.latency(0).round_trip_s is None


def test_metrics_show_the_figures_of_slots_that_were_used_and_the_manual_names_them() -> None:
    world = _World()
    metrics = BankdMetrics()
    metrics.show(world.bank, StuckReaders(readers=lambda: 1, log=NotedLog().logger), lambda: 1)
    assert metrics.registry.get_sample_value("remsim_bankd_ahead_guesses_total", {"bank_slot": "B1:0"}) is None
    world.command(5, _MF)
    world.bank.on_event(_LINK, Received(AheadUsedInd(5, 2), 6), 0.3)
    seen = metrics.registry.get_sample_value
    slot = {"bank_slot": "B1:0"}
    assert seen("remsim_bankd_ahead_guesses_total", slot) == 3
    assert seen("remsim_bankd_ahead_hits_total", slot) == 2
    assert seen("remsim_bankd_slot_commands_total", slot) == 3
    assert seen("remsim_bankd_slot_card_milliseconds_total", slot) == 250
    assert seen("remsim_bankd_ahead_saved_milliseconds", slot) == 600
    ours = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    theirs = {family.name for family in ClientMetrics().registry.collect()}
    page = (ROOT / "docs" / "manual" / "far-away.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(remsim_[a-z_]+)`", page))
    assert {name for name in named if name.startswith("remsim_bankd_")} <= ours
    assert {name.removesuffix("_total") for name in named if name.startswith("remsim_client_")} <= theirs
    assert {name for name in ours if "_ahead_" in name} <= named


def test_guesses_leave_time_to_others_whose_cards_answer_at_once() -> None:
    world = _World()
    # A guess was made just now, and another modem has had a command answered at once.
    world.now = YIELD_S / 2
    world.bank.counts.at_once += 1
    world._submit(5, _MF, Origin.MODEM, world.now)
    world.bank.take()
    (put_off,) = [action for action in world.bank.on_ahead_turn(0, world.now) if isinstance(action, RunAhead)]
    assert 0 < put_off.delay_s <= YIELD_S
    assert world.card.seen == [_MF]
    # Nobody else is at work any more.
    world.now += 2 * YIELD_S
    world.turns(world.bank.on_ahead_turn(0, world.now))
    assert world.ahead() == [_ICCID, _FETCH, _READ]


def test_guesses_are_not_put_off_for_the_modem_itself() -> None:
    world = _World()
    world.command(5, _MF)
    world.command(6, bytes.fromhex("00a40004022f05"))
    later = [action for action in world.done if isinstance(action, RunAhead)]
    assert later
    assert all(action.delay_s == 0 for action in later)


def _with_guess(world: _World) -> None:
    """A guess was answered, and is not looked at yet."""
    world._submit(5, _MF, Origin.MODEM, world.now)
    assert [type(action) for action in world.bank.take()] == [RunAhead]
    assert [type(action) for action in world.bank.on_ahead_turn(0, world.now)] == [RunAhead]
    assert world.card.seen == [_MF, _ICCID]


def test_command_that_comes_before_a_guess_is_looked_at_has_it_looked_at() -> None:
    world = _World()
    _with_guess(world)
    world.now += 0.3
    assert world._submit(6, _ICCID, Origin.MODEM, world.now) == b"\x61\x05"
    world.turns([*world.bank.take(), *world.bank.on_ahead_turn(0, world.now)])
    assert world.ahead() == [_ICCID, _FETCH, _READ]
    assert world.card.seen == [_MF, _ICCID, _FETCH, _READ]


def _is_unsettled(session: CardSession) -> bool:
    return session.ahead is not None and session.ahead.is_unsettled


def test_commands_that_waited_for_the_card_come_behind_the_guess_and_in_their_order() -> None:
    world = _World()
    _with_guess(world)
    position = world.bank.cards.positions[0]
    session = position.session
    assert session is not None
    assert session.ahead is not None
    # As if they had come while the card was busy.
    session.queue += [QueuedCommand(6, _ICCID, Origin.MODEM), QueuedCommand(7, _READ, Origin.MODEM)]
    world.bank.cards.drive(position, world.now)
    assert _is_unsettled(session)
    ahead, again = world.bank.on_ahead_turn(0, world.now)
    assert isinstance(ahead, Send)
    assert isinstance(again, RunAhead)
    assert not _is_unsettled(session)
    # One more comes before their turn, and does not pass them.
    assert world._submit(8, _MF, Origin.MODEM, world.now) is None
    actions = world.bank.on_ahead_turn(0, world.now)
    assert [action.tag for action in actions if isinstance(action, SendResponse)] == [6, 7, 8]


def test_apdu_in_place_of_a_tpdu_is_followed_as_the_card_sees_it() -> None:
    world = _World()
    assert world.command(1, bytes.fromhex("00a4000c023f0000")) == b"\x90\x00"
    assert world.card.seen[0] == _MF
    # Its effect is known, so what comes next is guessed, and the answer is that of the card.
    assert _ICCID in world.ahead()
    none = bytes.fromhex("00a40004022f")
    assert world.command(2, none) == b"\x67\x00"
    assert none not in world.card.seen
