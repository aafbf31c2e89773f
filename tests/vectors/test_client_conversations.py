# SPDX-License-Identifier: Apache-2.0
"""Recorded sessions of the C suite, replayed against our client slot: the recorded bytes of the client come out.

Where ours acts differently because a defect is mended, the test names the line of known-limits.md.
"""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from remsim.client.core.actions import DialBankd, HangUpBankd, InsertCard, RemoveCard, Respond, SetAtr
from remsim.client.core.coordinator import ClientCoordinator
from remsim.client.core.states import SlotState
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.actions import Close, LinkId, PeerAddress, Send
from remsim.wire.link.engine import Event, LinkEngine, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.codec import decode_pdu
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ResultCode, SlotPhysStatus
from tests.doubles.conversation import (
    PlayedConnection,
    Player,
    RecordedConnection,
    RecordedSession,
    load_session,
    normalised_frames,
)

Reference = Callable[..., Path]

CLIENT = ComponentIdentity(ComponentType.REMSIM_CLIENT, "vm", "remsim-client", "1")
#: What our shell shows for RESET: the classic line states, and VCC given back.
OFF = SlotPhysStatus(reset_active=True, vcc_present=False, clk_active=False, card_present=True)
ON = SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True, card_present=True)


class ClientAdapter:
    """Our client slot in place of the recorded one, with a shell as its emulator."""

    def __init__(self, role: str = "client") -> None:
        self.role = role
        self.shown: list[str] = []
        #: Connections of the recording that ours did not ask for.
        self.unwanted: list[int] = []
        self.numbers = itertools.count(1)
        self._bankd: LinkId | None = None
        self._links: list[LinkId] = []
        self.start()

    def start(self) -> None:
        """A client that was just started: it remembers nothing."""
        self.coordinator = ClientCoordinator(identity=CLIENT, client_slot=ClientSlot(1, 0), default_atr=b"\x3b\x00")
        self._is_dialling = False

    def give_bankd(self) -> None:
        """What a server would have said, in sessions that were recorded without one."""
        link = LinkId(1000)
        (request,) = self.coordinator.on_link_up(link, ComponentType.REMSIM_SERVER, 0.0)
        assert isinstance(request, Send)
        assert isinstance(request.message, rspro.ConnectClientReq)
        server = ComponentIdentity(ComponentType.REMSIM_SERVER, "server", "server", "1")
        accepted = Received(rspro.ConnectClientRes(server, ResultCode.OK), 0, request.message)
        self.coordinator.on_event(link, accepted, 0.0)
        address = rspro.IpPort(IPv4Address("127.0.0.1"), 9999)
        self.coordinator.on_event(link, Received(rspro.ConfigClientBankReq(BankSlot(1, 2), address), 0), 0.0)
        self._is_dialling = True

    def connection(self, recorded: RecordedConnection, now: float) -> LinkEngine:
        return LinkEngine(identity=CLIENT, peer=_peer(recorded), now=now)

    def on_link_up(self, link: LinkId, peer: PeerAddress, recorded: RecordedConnection, now: float) -> list[object]:
        role = _peer(recorded)
        if role is ComponentType.REMSIM_BANKD:
            if not self._is_dialling or self._bankd is not None:
                self.unwanted.append(recorded.number)
                return []
            self._bankd = link
        self._links.append(link)
        return list[object](self.coordinator.on_link_up(link, role, now))

    def on_event(self, link: LinkId, event: Event, now: float) -> list[object]:
        return list[object](self.coordinator.on_event(link, event, now))

    def on_link_lost(self, link: LinkId, reason: str, now: float) -> list[object]:
        if link == self._bankd:
            self._bankd = None
        if link in self._links:
            self._links.remove(link)
        return list[object](self.coordinator.on_link_lost(link, reason, now))

    def next_deadline(self) -> float | None:
        return self.coordinator.next_deadline()

    def handle_timer(self, now: float) -> list[object]:
        return list[object](self.coordinator.handle_timer(now))

    def on_action(self, what: str, now: float) -> list[object]:
        what = what.replace("_again: ", ": ")
        if what == f"{self.role} killed":
            return [Close(link, "killed") for link in self._links]
        if what == f"{self.role} started again":
            self.start()
        if not what.startswith(f"stdin of {self.role}: "):
            return []
        line = what.partition(": ")[2]
        if line == "RESET":
            return [action for lines in (OFF, ON) for action in self.coordinator.on_lines(lines, now)]
        return list[object](self.coordinator.on_tpdu(next(self.numbers), bytes.fromhex(line), now, now))

    def perform(self, action: object, now: float) -> list[object]:
        match action:
            case DialBankd():
                self._is_dialling = True
                return self._hang_up("another target")
            case HangUpBankd():
                self._is_dialling = False
                return self._hang_up("not wanted any more")
            case SetAtr():
                self.shown.append(f"SET_ATR: {action.atr.hex(' ')}")
            case Respond():
                self.shown.append(f"R-APDU: {action.response.hex(' ')}")
            case InsertCard() | RemoveCard():
                self.shown.append(type(action).__name__)
            case _:
                pass
        return []

    def _hang_up(self, reason: str) -> list[object]:
        return [] if self._bankd is None else [Close(self._bankd, reason)]


def _peer(recorded: RecordedConnection) -> ComponentType:
    return ComponentType.REMSIM_SERVER if recorded.accepted_by == "server" else ComponentType.REMSIM_BANKD


def play(reference: Reference, number: int, adapter: ClientAdapter) -> dict[int, PlayedConnection]:
    session = load_session(reference(), number)
    # Within a millisecond the order is not recorded; a line is typed before its answer comes.
    actions = tuple((at_s - 0.0005 if what.startswith("stdin") else at_s, what) for at_s, what in session.actions)
    return Player(replace(session, actions=actions), adapter.role, adapter).run()


def names(frames: list[str]) -> list[str]:
    return [frame.partition(" ")[0] for frame in frames]


def assert_as_recorded(played: PlayedConnection, role: str = "client") -> None:
    assert played.sent == played.expected, played.recorded
    # When a mapping is removed, bankd and client both close, in the same millisecond.
    if played.recorded.closed_by in (role, None):
        assert played.was_closed_by_us == (played.recorded.closed_by == role), played.recorded


AS_RECORDED = (2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 15, 16, 17, 19, 20, 21)


@pytest.mark.parametrize("number", AS_RECORDED)
def test_recorded_session_comes_out_byte_for_byte(reference: Reference, number: int) -> None:
    adapter = ClientAdapter()
    played = play(reference, number, adapter)
    assert played
    assert adapter.unwanted == []
    for connection in played.values():
        assert_as_recorded(connection)


def test_second_client_with_same_identity_closes_and_retries(reference: Reference) -> None:
    played = play(reference, 12, ClientAdapter("client2"))
    assert len(played) > 5
    for connection in played.values():
        assert_as_recorded(connection, "client2")


def test_answers_of_the_card_reach_the_modem(reference: Reference) -> None:
    adapter = ClientAdapter()
    play(reference, 6, adapter)
    answers = [line for line in adapter.shown if line.startswith("R-APDU")]
    # SW only, 2 bytes; 15, 128 and 256 bytes of data; four more answers to commands with data; 127 bytes.
    lengths = [len(bytes.fromhex(line.partition(": ")[2])) for line in answers]
    assert lengths == [2, 2, 17, 130, 258, 2, 2, 2, 129]


def test_modem_never_sees_another_atr_than_the_cards_own(reference: Reference) -> None:
    """known-limits.md, 87: the classic client shows 3b00 first."""
    adapter = ClientAdapter()
    play(reference, 3, adapter)
    assert adapter.shown == ["SET_ATR: 3b 9f 96 80 1f c7 80 31 a0 73 be 21 13 67 43 20 07 18 00 00 02 a6", "InsertCard"]


def test_bankd_that_takes_its_time_with_the_atr_hears_no_more_than_from_the_classic_client(
    reference: Reference,
) -> None:
    """The recorded bankd is a script: less than the two seconds after which one may wait for a sign of the modem."""
    adapter = ClientAdapter()
    played = play(reference, 28, adapter)
    assert adapter.unwanted == []
    for connection in played.values():
        assert_as_recorded(connection)


@pytest.mark.parametrize("number", [7, 31])
def test_reset_from_the_shell_is_a_full_cycle(reference: Reference, number: int) -> None:
    """known-limits.md, 81 and 46: VCC comes back, so each RESET has an effect, whatever the bankd remembers."""
    played = play(reference, number, ClientAdapter())
    for connection in played.values():
        recorded = [frame for frame in connection.sent if frame in connection.expected]
        assert recorded == connection.expected
        assert connection.was_closed_by_us is False
    statuses = [_status(frame) for c in played.values() for frame in c.sent if frame.startswith("ClientSlotStatusInd")]
    resets = 2 if number == 7 else 1
    assert statuses == [replace(ON, card_present=None), *[OFF, ON] * resets]


def test_repeated_configuration_leaves_the_session_alone(reference: Reference) -> None:
    """known-limits.md, 34: the classic client drops its session when a server that returned says the same again."""
    adapter = ClientAdapter()
    played = play(reference, 18, adapter)
    old, new = played.pop(3), played.pop(18)
    assert adapter.unwanted == [18]
    assert new.sent == []
    assert not old.was_closed_by_us
    # What was sent on the second connection after its introduction goes out on the first one.
    assert old.sent == old.expected + new.expected[2:]
    for connection in played.values():
        assert_as_recorded(connection)


@pytest.mark.parametrize("number", [23, 24])
def test_refusal_of_a_classic_bankd_is_retried(reference: Reference, number: int) -> None:
    """known-limits.md, 42: such a bankd may never tell that mapping or card came, so ours does not wait on the link."""
    adapter = ClientAdapter()
    adapter.give_bankd()
    (connection,) = play(reference, number, adapter).values()
    assert names(connection.sent) == ["ConnectClientReq"]
    assert connection.sent == connection.expected[:1]
    assert connection.was_closed_by_us
    assert adapter.coordinator.state is SlotState.WAIT_BANKD


def test_illegal_commands_are_answered_and_never_sent(reference: Reference) -> None:
    """known-limits.md, 85: the recorded peer sends them, and the bankd closes each time."""
    adapter = IllegalModem()
    adapter.give_bankd()
    played = play(reference, 25, adapter)
    assert len(played) == 7
    for connection in played.values():
        assert names(connection.sent) in (["ConnectClientReq", "SetAtrRes"], ["ConnectClientReq"])
    assert [line for line in adapter.shown if line.startswith("R-APDU")] == ["R-APDU: 67 00"] * 3


@pytest.mark.parametrize("number", [22, 30])
def test_messages_that_abort_a_classic_server_are_never_sent(reference: Reference, number: int) -> None:
    """known-limits.md, 1 and 2: the recorded peer omits its number, or its component type is wrong."""
    adapter = ClientAdapter()
    adapter.give_bankd()
    played = play(reference, number, adapter)
    requests = [_message(frame) for connection in played.values() for frame in connection.sent]
    assert len(requests) == 2
    for request in requests:
        assert isinstance(request, rspro.ConnectClientReq)
        assert request.client_slot == ClientSlot(1, 0)
        assert request.identity.type is ComponentType.REMSIM_CLIENT


def test_line_changes_go_out_as_recorded(reference: Reference) -> None:
    """The first status is preceded by idle lines: a classic bankd may remember another client's (known-limits.md, 46).

    The last recorded status bears slots that are not the client's own; ours always sends its own.
    """
    adapter = RecordedModem(load_session(reference(), 26))
    adapter.give_bankd()
    (connection,) = play(reference, 26, adapter).values()
    assert names(connection.sent[:3]) == ["ConnectClientReq", "SetAtrRes", "ClientSlotStatusInd"]
    assert _status(connection.sent[2]) == replace(ON, card_present=None)
    assert [*connection.sent[:2], *connection.sent[3:-1]] == connection.expected[:-1]
    assert _status(connection.sent[-1]) == _status(connection.expected[-1])


def test_peers_that_time_out_or_refuse_are_introduced_to_all_the_same(reference: Reference) -> None:
    """The recorded peer is silent on purpose, or poses as a bankd; ours never omits its introduction."""
    adapter = ClientAdapter()
    adapter.give_bankd()
    for number in (27, 29):
        for connection in play(reference, number, adapter).values():
            assert names(connection.sent[:1]) == ["ConnectClientReq"]


def test_every_session_with_a_client_is_played(reference: Reference) -> None:
    with_client = {
        number
        for number in range(1, 32)
        if any(connection.dialled_by == "client" for connection in load_session(reference(), number).connections)
    }
    assert with_client == {*AS_RECORDED, 7, 18, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}


class IllegalModem(ClientAdapter):
    """A modem that sends what is no TPDU, where the recorded peer does."""

    def on_action(self, what: str, now: float) -> list[object]:
        length = re.search(r"sends TPDU: ([0-9]+) octets", what)
        return (
            []
            if length is None
            else list[object](self.coordinator.on_tpdu(next(self.numbers), bytes(int(length[1])), now, now))
        )


class RecordedModem(ClientAdapter):
    """A modem that drives its lines as the recorded peer did."""

    def __init__(self, session: RecordedSession) -> None:
        super().__init__()
        statuses = (_message(frame) for recorded in session.frames for frame in normalised_frames(recorded.data))
        self._statuses = iter([s.slot_phys_status for s in statuses if isinstance(s, rspro.ClientSlotStatusInd)])

    def on_action(self, what: str, now: float) -> list[object]:
        if "sent status" not in what:
            return []
        return list[object](self.coordinator.on_lines(next(self._statuses), now))


def _message(frame: str) -> object:
    return decode_pdu(bytes.fromhex(frame.partition(" ")[2])).msg


def _status(frame: str) -> SlotPhysStatus:
    message = _message(frame)
    assert isinstance(message, rspro.ClientSlotStatusInd)
    return message.slot_phys_status
