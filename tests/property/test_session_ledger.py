# SPDX-License-Identifier: Apache-2.0
"""Client and bankd with nothing but their ledgers, over a link that is cut anywhere: each command is run once."""

from collections import Counter, deque
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from remsim.card.reset import ResetKind
from remsim.session.ledger import OperationLedger, Standing
from remsim.session.outbox import Outbox

#: What may happen, most of it often.
STEPS = ("command", "reset", "arrive", "work", "return", "cut", "go on")


@dataclass
class _World:
    """Messages are tuples of kind, tag and bytes; the card answers a command with its own bytes."""

    to_bank: deque[tuple[str, int, bytes]] = field(default_factory=deque)
    to_client: deque[tuple[str, int, bytes]] = field(default_factory=deque)
    ledger: OperationLedger = field(default_factory=OperationLedger)
    outbox: Outbox = field(default_factory=Outbox)
    work: deque[tuple[int, bytes]] = field(default_factory=deque)
    executed: Counter[bytes] = field(default_factory=Counter)
    answered: dict[bytes, bytes] = field(default_factory=dict)
    #: The command that the modem waits for; one at a time.
    waiting: bytes | None = None
    voided: set[bytes] = field(default_factory=set)
    resets: int = 0
    resets_seen: int = 0
    tag: int = 0
    given: int = 0
    is_linked: bool = True
    is_unsent: bool = False

    def next_tag(self) -> int:
        self.tag += 1
        return self.tag

    def command(self) -> None:
        if self.waiting is not None:
            return
        self.given += 1
        self.waiting = self.given.to_bytes(2)
        self.is_unsent = True
        if self.is_linked:
            self.send_command()

    def send_command(self) -> None:
        assert self.waiting is not None
        tag = self.next_tag()
        self.is_unsent = False
        self.outbox.command_sent(tag)
        self.to_bank.append(("command", tag, self.waiting))

    def reset(self) -> None:
        self.resets += 1
        if self.waiting is not None:
            self.voided.add(self.waiting)
        self.waiting, self.is_unsent = None, False
        self.outbox.void()
        if self.is_linked:
            self.send_lines(ResetKind.COLD)
        else:
            self.outbox.lines_not_sent(ResetKind.COLD)

    def send_lines(self, change: ResetKind | None) -> None:
        tag = self.next_tag()
        self.outbox.lines_sent(tag, change)
        self.to_bank.append(("lines", tag, b""))

    def arrive(self) -> None:
        if self.to_bank:
            kind, tag, raw = self.to_bank.popleft()
            if kind == "lines":
                assert self.ledger.take_lines(tag) is Standing.NEW
                self.ledger.void()
                self.resets_seen += 1
                self.to_client.append(("lines", tag, b""))
            else:
                assert self.ledger.take_command(tag, raw) is Standing.NEW
                self.work.append((tag, raw))
        if self.to_client:
            kind, tag, raw = self.to_client.popleft()
            if kind == "lines":
                self.outbox.lines_acknowledged(tag)
            elif self.outbox.command_answered(tag):
                assert self.waiting is not None
                self.answered[self.waiting] = raw
                self.waiting = None

    def do_work(self) -> None:
        if self.work:
            tag, raw = self.work.popleft()
            self.executed[raw] += 1
            self.ledger.complete(tag, raw)
            if self.is_linked:
                self.to_client.append(("answer", tag, raw))

    def cut(self) -> None:
        self.is_linked = False
        self.to_bank.clear()
        self.to_client.clear()

    def go_on(self) -> None:
        if self.is_linked:
            return
        self.is_linked = True
        awaited = self.outbox.awaited
        standing = self.ledger.resume(awaited)
        assert standing is not Standing.MISORDERED
        if standing is Standing.ANSWERED:
            assert awaited is not None
            assert self.ledger.response is not None
            self.to_client.append(("answer", awaited, self.ledger.response))
        plan = self.outbox.on_return(self.ledger.last or 0)
        assert plan.sends_command == (awaited is not None and standing is Standing.NEW)
        if plan.shows_lines:
            self.send_lines(plan.reset)
        if plan.sends_command and not plan.needs_new_tag:
            assert self.waiting is not None
            assert awaited is not None
            self.to_bank.append(("command", awaited, self.waiting))
        elif plan.sends_command or self.is_unsent:
            self.send_command()

    def settle(self) -> None:
        self.go_on()
        while self.to_bank or self.to_client or self.work:
            self.arrive()
            self.do_work()


@given(st.lists(st.sampled_from(STEPS), max_size=60))
def test_every_command_is_run_and_answered_once_unless_the_modem_was_reset(steps: list[str]) -> None:
    world = _World()
    actions = {
        "command": world.command,
        "reset": world.reset,
        "arrive": world.arrive,
        "work": world.do_work,
        "return": world.arrive,
        "cut": world.cut,
        "go on": world.go_on,
    }
    for step in steps:
        actions[step]()
    world.settle()
    assert world.waiting is None
    for number in range(1, world.given + 1):
        command = number.to_bytes(2)
        if command in world.voided:
            assert world.executed[command] <= 1
        else:
            assert world.executed[command] == 1
            assert world.answered[command] == command
    # Resets that came close together while there was no link may be shown as one; none is shown without one.
    assert (world.resets_seen > 0) == (world.resets > 0)
    assert world.resets_seen <= world.resets
