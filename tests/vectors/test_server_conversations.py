# SPDX-License-Identifier: Apache-2.0
"""Recorded sessions of the C suite, replayed against our server: the recorded bytes of the server come out.

Where ours acts differently because a defect is mended, the test names the line of known-limits.md.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import pytest

from remsim.server.core.actions import Action
from remsim.wire.ccm import PONG
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkId, PeerAddress, Probe, Send
from remsim.wire.link.engine import Event, KeepAliveTimes, LinkEngine, ProbeAnswered
from tests.doubles.conversation import PlayedConnection, Player, RecordedConnection, load_session
from tests.doubles.server_world import SERVER, ServerWorld

Reference = Callable[..., Path]

_CREATE: Final = re.compile(r"POST /slotmaps bank (\d+:\d+) client (\d+:\d+) -> 201")
_DELETE: Final = re.compile(r"DELETE /slotmaps/\d+ \(bank (\d+:\d+)\) -> 200")
_RESET: Final = "POST /global-reset -> 200"
_LINK_ACTIONS: Final = (Send, Close, Accepted, Probe, AskIdentity)


class ServerAdapter:
    """Our server in place of the recorded one; its database commits at once.

    The recordings hold no answer to a probe, which the C server does not send: the adapter answers at once.
    """

    def __init__(self) -> None:
        self.world = ServerWorld()
        self._engines: dict[LinkId, LinkEngine] = {}
        #: What GET /slotmaps showed when it was called.
        self.shown: list[list[str]] = []

    def connection(self, recorded: RecordedConnection, now: float) -> LinkEngine:
        engine = LinkEngine(identity=SERVER, peer=None, now=now, keep_alive=KeepAliveTimes())
        self._engines[LinkId(recorded.number)] = engine
        return engine

    def on_link_up(self, link: LinkId, peer: PeerAddress, recorded: RecordedConnection, now: float) -> list[object]:
        if recorded.dialled_by == "bankd2":
            peer = PeerAddress(type(peer.host)("127.0.0.2"), peer.port)
        return list[object](self.world.coordinator.on_link_up(link, peer, now))

    def on_event(self, link: LinkId, event: Event, now: float) -> list[object]:
        actions: list[object] = []
        for action in self.world.coordinator.on_event(link, event, now):
            actions += self._answer_probe(action, now) if isinstance(action, Probe) else [action]
        return actions

    def _answer_probe(self, probe: Probe, now: float) -> list[object]:
        engine = self._engines[probe.link]
        engine.probe(now, probe.timeout_s)
        engine.receive_data(PONG, now)
        answered = engine.next_event()
        assert isinstance(answered, ProbeAnswered)
        return self.on_event(probe.link, answered, now)

    def on_link_lost(self, link: LinkId, reason: str, now: float) -> list[object]:
        return list[object](self.world.coordinator.on_link_lost(link, reason, now))

    def next_deadline(self) -> float | None:
        return self.world.coordinator.next_deadline()

    def handle_timer(self, now: float) -> list[object]:
        return list[object](self.world.coordinator.handle_timer(now))

    def on_action(self, what: str, now: float) -> list[object]:
        self.world.now = now
        return self._carry_out(lambda: self._order(what))

    def _order(self, what: str) -> None:
        if what.startswith(("server killed", "server started again")):
            # The C server forgets everything; the recorded operator repeats his orders.
            self.world = ServerWorld()
        elif match := _CREATE.search(what):
            self.world.post(match[1], match[2])
        elif match := _DELETE.search(what):
            self.world.delete(match[1])
        elif _RESET in what:
            self.world.delete(*(str(mapping.bank) for mapping in self.world.coordinator.slotmap))
        elif what.startswith("GET /slotmaps"):
            self.shown.append([mapping.state.value for mapping in self.world.coordinator.slotmap])

    def perform(self, action: object, now: float) -> list[object]:
        self.world.now = now
        return self._carry_out(lambda: self.world.run([cast(Action, action)]))

    def _carry_out(self, do: Callable[[], None]) -> list[object]:
        """Let the world do something, and take what it wants done with links."""
        wanted: list[object] = []
        run, world = self.world.run, self.world

        def take(actions: list[Action]) -> None:
            for action in actions:
                if isinstance(action, _LINK_ACTIONS):
                    wanted.append(action)
                else:
                    run([action])

        world.run = take  # type: ignore[method-assign]
        try:
            do()
        finally:
            world.run = run  # type: ignore[method-assign]
        return wanted


def play(reference: Reference, number: int, adapter: ServerAdapter) -> dict[int, PlayedConnection]:
    session = load_session(reference(), number)
    # A call is noted when it returns, in the millisecond of what follows from it or after that.
    actions = tuple((at_s - 0.001, what) for at_s, what in session.actions)
    return Player(replace(session, actions=actions), "server", adapter).run()


UNCHANGED = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 23, 24, 25, 26, 29, 31)


def lead(played: PlayedConnection) -> list[str]:
    return [frame.partition(" ")[0] for frame in played.sent]


@pytest.mark.parametrize("number", UNCHANGED)
def test_recorded_session_comes_out_byte_for_byte(reference: Reference, number: int) -> None:
    for connection in play(reference, number, ServerAdapter()).values():
        assert connection.sent == connection.expected, connection.recorded


def test_lost_bankd_makes_its_mapping_new_until_it_returns(reference: Reference) -> None:
    adapter = ServerAdapter()
    play(reference, 17, adapter)
    assert adapter.shown == [["NEW"], ["ACTIVE"]]


def test_mapping_of_an_absent_bankd_stays_new_until_it_comes(reference: Reference) -> None:
    adapter = ServerAdapter()
    play(reference, 4, adapter)
    assert adapter.shown == [["NEW"], ["NEW"], ["ACTIVE"]]


def test_refused_mapping_does_not_send_the_client_to_the_bankd(reference: Reference) -> None:
    """Line 25 is mended: the C server ignores the result, shows ACTIVE, and the client loops."""
    adapter = ServerAdapter()
    played = play(reference, 16, adapter)
    assert played[1].sent == played[1].expected
    assert lead(played[2]) == ["ConnectClientRes", "ConfigClientBankReq"]
    assert played[2].sent[1].endswith("80040000000002010" + "0"), "told that there is no bankd"
    assert adapter.shown == [["REFUSED"]]


def test_client_without_number_is_refused_and_the_server_lives(reference: Reference) -> None:
    """Line 1 is mended: the C server closes without an answer and aborts."""
    played = play(reference, 22, ServerAdapter())
    assert played[1].sent == played[1].expected
    assert lead(played[3]) == ["ConnectClientRes"]
    assert played[3].was_closed_by_us


def test_wrong_component_type_is_refused_and_the_server_lives(reference: Reference) -> None:
    """Line 2 is mended: the C server closes without an answer and aborts."""
    played = play(reference, 30, ServerAdapter())
    assert [lead(connection) for connection in played.values()] == [["ConnectClientRes"], ["ConnectBankRes"]]
    assert all(connection.was_closed_by_us for connection in played.values())


def test_silent_and_rejected_peers_are_closed_as_recorded(reference: Reference) -> None:
    for connection in play(reference, 29, ServerAdapter()).values():
        assert connection.was_closed_by_us == (connection.recorded.closed_by == "server"), connection.recorded
