# SPDX-License-Identifier: Apache-2.0
"""Two link engines that talk through a network which cuts and delays, and one that is told nonsense."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from remsim.core.ids import ClientSlot
from remsim.wire.errors import LocalProtocolError
from remsim.wire.link.engine import (
    ABILITIES,
    ECHO,
    KeepAliveTimes,
    LinkEngine,
    LinkFailed,
    ProbeAnswered,
    Received,
    Undecodable,
)
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import RESPONSE_TO, ComponentType, Message, Request, Response, ResultCode
from tests.doubles import engines, strategies, strict_asn1, vectors
from tests.doubles.engines import BANK, CLIENT

KEEP_ALIVE = KeepAliveTimes(interval_s=30.0, timeout_s=10.0)
#: Longer than a frame takes here; shorter than the peer's patience.
MAX_DELAY_S = 4.0


class TwoEnds(RuleBasedStateMachine):
    """A server and a bankd. Time passes in steps; what one end wrote reaches the other in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.wires: dict[ComponentType, bytearray] = {}
        self.requests: dict[ComponentType, list[Request]] = {}
        self.to_answer: dict[ComponentType, list[tuple[int, Request]]] = {}
        self.answered: dict[ComponentType, list[Request]] = {}
        self.probes = 0

    @initialize(named=st.sets(st.sampled_from(ABILITIES)))
    def connect(self, named: set[str]) -> None:
        server_role, bankd_role = ComponentType.REMSIM_SERVER, ComponentType.REMSIM_BANKD
        self.server = engines.engine(server_role, None, keep_alive=KEEP_ALIVE)
        self.bankd = engines.engine(bankd_role, server_role, keep_alive=KEEP_ALIVE, abilities=tuple(sorted(named)))
        self.ends = {server_role: self.server, bankd_role: self.bankd}
        for role in self.ends:
            self.wires[role] = bytearray(b"\0\1\xfe\0")  # the first PING was taken
            self.requests[role], self.to_answer[role], self.answered[role] = [], [], []
        tag = self.bankd.send(rspro.ConnectBankReq(self.bankd.identity, 1, 8), now=0.0)
        engines.receive(self.server, self.bankd.data_to_send())
        self.server.send(rspro.ConnectBankRes(self.server.identity, ResultCode.OK), now=0.0, reply_to=tag)
        engines.receive(self.bankd, self.server.data_to_send())
        for end in self.ends.values():
            end.connected()
        self.echoes = ECHO in named
        assert self.server.common_abilities == self.bankd.common_abilities == named

    def other(self, role: ComponentType) -> ComponentType:
        """The other end."""
        return next(end for end in self.ends if end is not role)

    def collect(self) -> None:
        """What the engines wrote goes onto the wires."""
        for role, end in self.ends.items():
            self.wires[role] += end.data_to_send()

    def deliver(self, role: ComponentType, size: int) -> None:
        """Bytes written by ``role`` reach the other end."""
        self.collect()
        raw = bytes(self.wires[role][:size])
        del self.wires[role][:size]
        receiver = self.other(role)
        for event in engines.receive(self.ends[receiver], raw, now=self.now):
            match event:
                case Received(message, tag, request) if isinstance(message, Response):
                    assert request is not None
                    assert RESPONSE_TO[type(request)] is type(message)
                    self.answered[receiver].append(request)
                case Received(message, tag) if isinstance(message, Request):
                    self.to_answer[receiver].append((tag, message))
                case ProbeAnswered():
                    self.probes -= 1
                case _:
                    raise AssertionError(event)

    @rule(client=st.integers(0, 1023), kind=st.sampled_from((rspro.CreateMappingReq, rspro.RemoveMappingReq)))
    def server_asks(self, client: int, kind: type[rspro.CreateMappingReq | rspro.RemoveMappingReq]) -> None:
        message = kind(ClientSlot(client, 0), BANK)
        self.server.send(message, now=self.now)
        self.requests[ComponentType.REMSIM_SERVER].append(message)

    @precondition(lambda self: self.to_answer and self.to_answer[ComponentType.REMSIM_BANKD])
    @rule(data=st.data())
    def bankd_answers(self, data: st.DataObject) -> None:
        waiting = self.to_answer[ComponentType.REMSIM_BANKD]
        # Without echo.1 answers are matched by order within each kind, so they must be given in order.
        at = data.draw(st.integers(0, len(waiting) - 1)) if self.echoes else 0
        tag, request = waiting.pop(at)
        answer = rspro.refusal(type(request), ResultCode.OK, self.bankd.identity)
        assert answer is not None
        self.bankd.send(answer, now=self.now, reply_to=tag)

    @rule(role=st.sampled_from((ComponentType.REMSIM_SERVER, ComponentType.REMSIM_BANKD)), size=st.integers(1, 100))
    def network_delivers(self, role: ComponentType, size: int) -> None:
        self.deliver(role, size)

    @rule()
    def server_probes(self) -> None:
        if self.probes == 0:
            self.server.probe(self.now, 2 * MAX_DELAY_S + 0.1)
            self.probes = 1

    @rule(step=st.floats(0.0, 100.0))
    def time_passes(self, step: float) -> None:
        end = self.now + step
        while self.now < end:
            # No byte takes longer than MAX_DELAY_S.
            self.now = min(self.now + MAX_DELAY_S / 2, end)
            for connection in self.ends.values():
                connection.handle_timer(self.now)
            for _ in range(2):
                for role in self.ends:
                    self.deliver(role, 1 << 20)

    @invariant()
    def nobody_is_given_up(self) -> None:
        for connection in getattr(self, "ends", {}).values():
            due = connection.next_deadline()
            assert due is not None

    def teardown(self) -> None:
        if not hasattr(self, "ends"):
            return
        self.time_passes(1.0)
        while self.to_answer[ComponentType.REMSIM_BANKD]:
            tag, request = self.to_answer[ComponentType.REMSIM_BANKD].pop(0)
            answer = rspro.refusal(type(request), ResultCode.OK, self.bankd.identity)
            assert answer is not None
            self.bankd.send(answer, now=self.now, reply_to=tag)
        self.time_passes(1.0)
        asked = self.requests[ComponentType.REMSIM_SERVER]
        assert sorted(map(repr, asked)) == sorted(map(repr, self.answered[ComponentType.REMSIM_SERVER]))


TestTwoEnds = TwoEnds.TestCase

FRAMES = [frame.raw for frame in vectors.frames()]
roles = st.sampled_from([*ComponentType, None])


def told(connection: LinkEngine, raw: list[bytes]) -> None:
    """Tell the engine something, and let time pass between the pieces."""
    for step, piece in enumerate(raw):
        connection.receive_data(piece, float(step))
        connection.handle_timer(float(step))
    found = engines.events(connection)
    failures = [event for event in found if isinstance(event, LinkFailed)]
    assert len(failures) <= 1
    assert not failures or found[-1] is failures[0]


@given(peer=roles, raw=st.lists(st.sampled_from(FRAMES).flatmap(strategies.mutated), max_size=12))
def test_engine_survives_damaged_frames(peer: ComponentType | None, raw: list[bytes]) -> None:
    connection = engines.engine(peer=peer)
    connection.attach_session(CLIENT, BANK)
    told(connection, raw)
    engines.sent(connection)


@given(peer=roles, raw=st.lists(st.binary(max_size=60), max_size=8))
def test_engine_survives_arbitrary_bytes(peer: ComponentType | None, raw: list[bytes]) -> None:
    told(engines.engine(peer=peer), raw)


@given(peer=roles, messages=st.lists(strategies.pdus(), max_size=8))
def test_engine_survives_any_conversation_and_sends_no_request_by_itself(
    peer: ComponentType | None, messages: list[rspro.RsproPdu]
) -> None:
    connection = engines.engine(peer=peer)
    told(connection, [engines.frame(known(pdu), tag=pdu.tag, version=pdu.version) for pdu in messages])
    for item in engines.sent(connection):
        if isinstance(item, rspro.RsproPdu):
            assert isinstance(item.msg, Response)
            assert getattr(item.msg, "result", None) is ResultCode.UNSUPPORTED_PROTOCOL_VERSION


def known(pdu: rspro.RsproPdu) -> Message:
    """The message of a PDU that holds one."""
    assert not isinstance(pdu.msg, rspro.UnknownMessage)
    return pdu.msg


@given(
    received=st.lists(strategies.pdus(max_version=2), max_size=6),
    message=strategies.messages,
    reply_to=st.none() | strategies.tags,
)
def test_what_goes_out_to_a_classic_peer_is_short_and_asked_for_or_safe(
    received: list[rspro.RsproPdu], message: Message, reply_to: int | None
) -> None:
    connection = engines.engine(peer=ComponentType.REMSIM_CLIENT)
    classic = [pdu for pdu in received if "+x" not in repr(pdu)]
    told(connection, [engines.frame(known(pdu), tag=pdu.tag) for pdu in classic])
    connection.data_to_send()
    try:
        connection.send(message, now=99.0, reply_to=reply_to)
    except LocalProtocolError:
        assert connection.data_to_send() == b""
        return
    raw = connection.data_to_send()
    assert len(raw) <= 1024
    # Nor is there anything of ours in it, which a strict decoder would refuse.
    assert len(list(strict_asn1.frames(raw))) == 1
    if isinstance(message, Response):
        asked = [pdu for pdu in classic if RESPONSE_TO.get(type(pdu.msg)) is type(message)]  # type: ignore[arg-type]
        assert reply_to in [pdu.tag for pdu in asked]
    else:
        assert isinstance(message, rspro.SetAtrReq | rspro.ConfigClientIdReq | rspro.ConfigClientBankReq)


@given(raw=st.binary(min_size=1, max_size=40))
def test_undecodable_frame_leaves_the_link_usable(raw: bytes) -> None:
    connection = engines.engine()
    found = engines.receive(connection, len(raw + b"\7").to_bytes(2, "big") + b"\xee\7" + raw, b"\0\1\xfe\0")
    assert connection.data_to_send()[-4:] == b"\0\1\xfe\1"
    assert all(not isinstance(event, LinkFailed) for event in found)
    assert len(found) == 1 or isinstance(found[0], Undecodable)
