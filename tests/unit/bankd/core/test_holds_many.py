# SPDX-License-Identifier: Apache-2.0
"""A thousand clients whose links are cut together, and that come back together: all go on, and no card notices."""

import random
from itertools import count

from remsim.bankd.core.continuity import HoldPolicy
from remsim.bankd.core.states import CardState, HoldState
from remsim.core.ids import BankSlot, ClientSlot
from remsim.session.hold import HoldTimes
from remsim.wire.link.abilities import REGISTRY
from remsim.wire.link.events import Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.bank import CLIENT, Bank, stub_atr

_CLIENTS = 1000
_SELECT = bytes.fromhex("00a40004023f00")
_IDENTITY = CLIENT.with_abilities(REGISTRY)


class _Clients:
    """So many clients in service at one bank, and what each needs to return."""

    def __init__(self) -> None:
        numbers = count(1)
        policy = HoldPolicy(
            HoldTimes(60.0, 30.0),
            needs_proof=False,
            random=lambda size: next(numbers).to_bytes(size),
            is_shared=lambda _reader: False,
        )
        self.bank = Bank(slots=_CLIENTS, hold=policy)
        self.bank.cards.atr = lambda slot_nr: stub_atr(slot_nr % 256)
        server = self.bank.server()
        self.links: dict[int, int] = {}
        for number in range(_CLIENTS):
            self.bank.say(server, rspro.CreateMappingReq(_slot(number), BankSlot(1, number)))
            self.links[number] = self._introduced(number)

    def _introduced(self, number: int, *, resume: rspro.ResumeInd | None = None) -> int:
        # All of them come from one address, as behind one mobile gateway.
        link = self.bank.link("198.51.100.7")
        if resume is not None:
            self.bank.say(link, resume)
        self.bank.say(link, rspro.ConnectClientReq(_IDENTITY, _slot(number)))
        return link

    def command(self, number: int, tag: int) -> None:
        """Its modem sends a command."""
        request = rspro.TpduModemToCard(_slot(number), BankSlot(1, number), rspro.NO_FLAGS, _SELECT)
        self.bank.event(self.links[number], Received(request, tag))

    def come_back(self, number: int, waits_for: int | None) -> rspro.SessionInd:
        """It returns over another link; what it is told."""
        link = self._introduced(number, resume=rspro.ResumeInd(self.told(number).token, waits_for))
        self.links[number] = link
        assert self.bank.result(link) is ResultCode.OK
        return self.told(number)

    def told(self, number: int) -> rspro.SessionInd:
        """What it was told of its session, last."""
        return [message for message in self.bank.sent[self.links[number]] if isinstance(message, rspro.SessionInd)][-1]

    def answers(self, number: int) -> list[bytes]:
        """What came over its present link."""
        sent = self.bank.sent[self.links[number]]
        return [message.data for message in sent if isinstance(message, rspro.TpduCardToModem)]


def _slot(number: int) -> ClientSlot:
    return ClientSlot(1 + number // 8, number % 8)


def _shuffled() -> list[int]:
    order = list(range(_CLIENTS))
    random.Random(11).shuffle(order)
    return order


def test_all_go_on_where_they_were() -> None:
    clients = _Clients()
    bank, holds = clients.bank, clients.bank.coordinator.cards.holds
    positions = bank.coordinator.cards.positions
    for number in range(_CLIENTS):
        clients.command(number, 5)
    # A third has its answer, the answers of the next are lost with the link, the rest has another command on the way.
    waits_for = {number: (None, 5, 6)[number % 3] for number in range(_CLIENTS)}
    cut = _shuffled()
    # Of every tenth the bankd has not noticed yet that its link is dead.
    noticed = [number for number in cut if number % 10]
    for number in noticed:
        bank.lose(clients.links[number])
    assert len(holds.detached()) == holds.counts.cuts == len(noticed)
    tokens = {clients.told(number).token for number in range(_CLIENTS)}
    bank.now += 1.0
    for number in _shuffled():
        told = clients.come_back(number, waits_for[number])
        assert (told.is_resumed, told.last_tag) == (True, 5)
        assert clients.answers(number) == ([b"\x9f\x17"] if waits_for[number] == 5 else [])
    assert holds.counts.resumed == len(noticed)
    assert holds.counts.taken_over == _CLIENTS - len(noticed)
    assert holds.counts.suppressed == sum(tag == 5 for tag in waits_for.values())
    assert holds.detached() == []
    assert len(tokens | {clients.told(number).token for number in range(_CLIENTS)}) == 2 * _CLIENTS
    # No card was powered or asked again, and nobody had to make room.
    assert bank.cards.log.count((0, "open")) == 1
    assert sum(what == "open" for _, what in bank.cards.log) == _CLIENTS
    assert bank.coordinator.counts.tpdus == _CLIENTS
    assert bank.coordinator.counts.crowded_out == 0
    assert {position.state for position in positions} == {CardState.READY}
    for number in range(_CLIENTS):
        clients.command(number, 6)
    assert bank.coordinator.counts.tpdus == 2 * _CLIENTS


def test_those_that_stay_away_end_together_and_the_others_do_not_notice() -> None:
    clients = _Clients()
    bank, holds = clients.bank, clients.bank.coordinator.cards.holds
    began = bank.now
    for number in range(_CLIENTS):
        bank.lose(clients.links[number])
    bank.now += 30.0
    returned = _shuffled()[:500]
    for number in returned:
        assert clients.come_back(number, None).is_resumed
    bank.wait(began + 60.0)
    assert holds.counts.ended[rspro.SessionEnd.HOLD_OVER] == _CLIENTS - len(returned)
    sessions = {position.slot_nr: position.session for position in bank.coordinator.cards.positions}
    assert {number for number, session in sessions.items() if session is not None} == set(returned)
    assert {session.state for session in sessions.values() if session is not None} == {HoldState.RESUMABLE}
