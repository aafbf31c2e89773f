# SPDX-License-Identifier: Apache-2.0
"""One RSPRO link as an object without I/O: bytes in, events out; messages in, bytes out.

It answers PING, keeps the link alive, pairs answers with requests (by operation tag where the peer echoes it, by order
where it does not), agrees on abilities, refuses unsupported versions, and lets nothing out that would harm a classic
peer. The tags themselves come from a ``TagPolicy``. It knows nothing of mappings, cards or programs. Time is an
argument, in seconds of any clock that does not go back.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, cast

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.wire import ccm, ipa
from remsim.wire.ccm import CcmType
from remsim.wire.errors import DecodeError, FrameError, FrameSizeError, LocalProtocolError
from remsim.wire.link import classic
from remsim.wire.link.abilities import (
    ABILITIES,
    ABILITY_OF,
    ABILITY_OF_ELEMENTS,
    ADVERTISE,
    ECHO,
    RESUME,
    SLOTS,
    TIMES,
    introduce,
    voids_commands,
)
from remsim.wire.link.events import (
    Event,
    IdentityReceived,
    LinkFailed,
    ProbeAnswered,
    Received,
    ReceivedUnknown,
    Undecodable,
    UnsupportedVersion,
)
from remsim.wire.link.keep_alive import KeepAliveTimes, LivenessMonitor, PeerSilent, SendPing
from remsim.wire.link.requests import MAX_OUTSTANDING, MAX_UNANSWERED, Asked, Requests
from remsim.wire.link.tags import LinkTags, TagPolicy, is_newer
from remsim.wire.messages import rspro
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.extensions import MAX_MICROSECONDS
from remsim.wire.messages.fast_codec import SessionCodec
from remsim.wire.messages.rspro import (
    REQUEST_OF,
    RESPONSE_TO,
    ComponentIdentity,
    ComponentType,
    Message,
    Request,
    Response,
    ResultCode,
    RsproPdu,
    TpduModemToCard,
    UnknownMessage,
)
from remsim.wire.messages.schema import ALTERNATIVES

__all__ = [
    "ABILITIES",
    "ADVERTISE",
    "CONNECT_TIMEOUT_S",
    "ECHO",
    "MAX_FIRST_FRAME",
    "MAX_UNANSWERED",
    "SLOTS",
    "TPDU_GRACE_S",
    "EngineMaker",
    "Event",
    "IdentityReceived",
    "KeepAliveTimes",
    "LinkEngine",
    "LinkFailed",
    "ProbeAnswered",
    "Received",
    "ReceivedUnknown",
    "Undecodable",
    "UnsupportedVersion",
]

#: A peer must introduce itself, or answer our introduction, within this time.
CONNECT_TIMEOUT_S: Final = 10.0
#: A classic bankd answers no PING while its card works; but a card that works longer than this is dead.
TPDU_GRACE_S: Final = 60.0
#: Longest frame of a peer that has not been accepted. The longest connect request that is understood has some 9 KB; an
#: unknown peer must not make us keep the half of a longer message.
MAX_FIRST_FRAME: Final = 1 << 14

_CONNECT_REQUESTS = (rspro.ConnectBankReq, rspro.ConnectClientReq)
_CONNECT_RESPONSES = (rspro.ConnectBankRes, rspro.ConnectClientRes)


class LinkEngine:
    """One end of one link. ``peer`` is the role that the other end plays on it; None: the connect request will tell.

    ``is_accepted``: the peer has dialled us; it has if ``peer`` is None. ``identity`` is our own, without abilities;
    they are added where the rules allow it. ``resume_keep_alive`` replaces ``keep_alive`` once both ends have named
    ``resume.1``: there, a link that is given up too early costs nothing. ``tags`` number what we send, by default for
    this link alone. The owner calls ``receive_data`` and ``handle_timer``, drains ``next_event`` after each, writes
    what ``data_to_send`` returns, and calls ``handle_timer`` again at ``next_deadline``.
    """

    def __init__(
        self,
        *,
        identity: ComponentIdentity,
        peer: ComponentType | None,
        now: float,
        keep_alive: KeepAliveTimes | None = None,
        resume_keep_alive: KeepAliveTimes | None = None,
        tags: TagPolicy | None = None,
        abilities: tuple[str, ...] = ABILITIES,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        is_accepted: bool = False,
    ) -> None:
        self.identity = identity
        self.peer = peer
        #: Abilities that both ends named; empty until they are known, and for classic peers.
        self.common_abilities: frozenset[str] = frozenset()
        self._own_abilities = abilities
        self._peer_named_abilities = False
        # The accepting end answers ID_ACK, as in the C programs. If both ends did, it would go to and fro for ever.
        self._answers_id_ack = is_accepted or peer is None
        # The peer answered ID_GET, so it is no classic server and survives a ConnectClientReq without a number.
        self._identity_known = False
        # ID_GET goes out as soon as the peer has said something.
        self._will_ask_identity = False
        self._reader = ipa.FrameReader(max_payload=MAX_FIRST_FRAME)
        self._events: deque[Event] = deque()
        self._output: list[bytes] = []
        self._requests = Requests()
        self._tags: TagPolicy = LinkTags() if tags is None else tags
        self._session: SessionCodec | None = None
        # The command that ``receive_tpdu`` returned last, until it is answered: cheaper than among all requests.
        self._tpdu_tag: int | None = None
        #: The peer of the attached session is told how long we had its commands, so the owner says when they come and
        #: when they are answered.
        self.tells_times = False
        # When that command came, and when the others did that are not answered; in the owner's fine time.
        self._tpdu_at = 0.0
        self._arrivals: dict[int, float] = {}
        # The command that the peer waits for, if it has returned to a session.
        self._awaited: int | None = None
        self._failed = False
        #: How many frames it has taken by ``receive_data``.
        self.frames = 0
        self._liveness = LivenessMonitor(keep_alive or KeepAliveTimes(), now)
        self._resume_keep_alive = resume_keep_alive
        self._connect_by: float | None = now + connect_timeout_s
        self._connect_timeout_s = connect_timeout_s
        #: Set when ``next_deadline`` may have become earlier; the owner clears it when it has set its timer.
        self.is_deadline_changed = True
        self.handle_timer(now)

    def send(self, message: Message, *, now: float, reply_to: int | None = None) -> int:
        """Queue ``message`` and return its operation tag; an answer takes ``reply_to``, the tag of its request.

        Raises LocalProtocolError if the message is out of range, an answer that nobody asked for, too long for the
        peer, or one that a classic peer does not survive.
        """
        self._check_elements(message)
        if type(message) in REQUEST_OF:
            self._note_tpdu()
            tag = self._requests.complete(cast(Response, message), reply_to)
        else:
            self._check_safe(message)
            # An indication may answer another one: bankSlotStatusInd, where both ends can resume.
            tag = self._tags.next_tag(message) if reply_to is None else reply_to
        if isinstance(message, _CONNECT_REQUESTS + _CONNECT_RESPONSES):
            common = self.common_abilities if self._peer_named_abilities else None
            message = introduce(message, self._own_abilities, common)
            if isinstance(message, _CONNECT_REQUESTS):
                # We have called this peer, so it is known, and may say more along with its answer.
                self._reader.max_payload = ipa.MAX_PAYLOAD
        frame = ipa.encode_rspro(encode_pdu(RsproPdu(tag, message)))
        if len(frame) > ipa.MAX_CLASSIC_FRAME and not self._peer_named_abilities:
            raise LocalProtocolError(f"{type(message).__name__} of {len(frame)} bytes is too long for a classic peer")
        if type(message) in RESPONSE_TO:
            if not self._requests.ask(Asked(tag, cast(Request, message), now)):
                self._fail(f"the peer leaves {MAX_OUTSTANDING} requests unanswered", LimitName.OUTSTANDING_REQUESTS)
                return tag
        elif voids_commands(message):
            self._requests.cancel_commands()
            self._tpdu_tag = None
            self._arrivals.clear()
        elif isinstance(message, rspro.SessionInd):
            self._expect_awaited(message)
        self._output.append(frame)
        return tag

    def _expect_awaited(self, message: rspro.SessionInd) -> None:
        """The command that a returning client waits for came over an earlier link, and is answered over this one."""
        awaited, self._awaited = self._awaited, None
        if message.is_resumed and awaited is not None and not is_newer(awaited, message.last_tag):
            self.expect_response(TpduModemToCard, awaited)

    def announce_return(self, message: rspro.ResumeInd) -> int:
        """Queue the message that goes ahead of the connect request, and return its tag.

        Nothing is known of the peer yet, but it has given us the token, so it is a bankd that understands it.
        """
        tag = self._tags.next_tag(message)
        self._output.append(ipa.encode_rspro(encode_pdu(RsproPdu(tag, message))))
        return tag

    def send_id_get(self, *, when_heard: bool = False) -> None:
        """Ask the peer for its CCM identity. Own servers answer; a classic server closes the link, unharmed.

        Every sound peer sends a PING at once, or answers ours. With ``when_heard`` ID_GET waits for that: who closes on
        it has spoken IPA before, so it cannot be a port of another kind.
        """
        self._will_ask_identity = when_heard and self.frames == 0
        if not self._will_ask_identity:
            self._output.append(ccm.ID_GET)

    def attach_session(self, client: ClientSlot, bank: BankSlot) -> None:
        """From now on recognise the TPDUs of this session at sight; see ``receive_tpdu``. For the bankd's end."""
        self._session = SessionCodec(client, bank, is_bank=True)
        self.tells_times = TIMES in self.common_abilities

    def detach_session(self) -> None:
        """Treat every frame alike again."""
        self._session = None
        self.tells_times = False
        self._arrivals.clear()

    def receive_tpdu(self, data: bytes, at: float = 0.0) -> tuple[int, bytes] | None:
        """(operation tag, command TPDU) if ``data`` is one whole frame of the attached session, else None.

        None: it goes to ``receive_data``. Otherwise ``answer_tpdu`` gives the frame that answers it, now or later.
        ``at`` is read where ``tells_times``: the present, in seconds of a clock that is fine enough for a command.
        """
        session = self._session
        if session is None or self._failed or self._reader.buffer:
            return None
        found = session.decode(data)
        if found is not None:
            if self._tpdu_tag is not None:
                self._note_tpdu()
            self._tpdu_tag = found[0]
            self._tpdu_at = at
        return found

    def _note_tpdu(self) -> None:
        """Count the newest command among the requests that wait for an answer."""
        tag, self._tpdu_tag = self._tpdu_tag, None
        if tag is not None:
            self.expect_response(TpduModemToCard, tag)
            if self.tells_times:
                self._arrivals[tag] = self._tpdu_at

    def answer_tpdu(self, tag: int, response: bytes, at: float = 0.0) -> bytes:
        """The frame that answers a command of the attached session, behind what ``data_to_send`` has ready.

        ``at`` is as for ``receive_tpdu``. Raises LocalProtocolError if no command with this tag waits for an answer.
        """
        session = self._session
        if session is None:
            raise LocalProtocolError(f"no session is attached for the response with tag {tag}")
        if tag == self._tpdu_tag:
            self._tpdu_tag = None
            came_at: float | None = self._tpdu_at
        else:
            self._requests.complete_command(tag)
            came_at = self._arrivals.pop(tag, None)
        if came_at is None or not self.tells_times:
            frame = session.encode(tag, response)
        else:
            us = round((at - came_at) * 1e6)
            frame = session.encode_timed(tag, response, us if 0 <= us <= MAX_MICROSECONDS else _bounded(us))
        return frame if not self._output else self.data_to_send() + frame

    def probe(self, now: float, timeout_s: float) -> None:
        """Find out within ``timeout_s`` whether the peer lives: ProbeAnswered or LinkFailed follows."""
        self._output.append(ccm.PING)
        self._liveness.probe(now, timeout_s)
        self.is_deadline_changed = True

    def connected(self) -> None:
        """The owner has accepted the peer, or the peer has accepted us: limits for unknown peers hold no more."""
        self._connect_by = None
        self._reader.max_payload = ipa.MAX_PAYLOAD

    def data_to_send(self) -> bytes:
        """Take what is to be written, whole frames only."""
        output, self._output = self._output, []
        return output[0] if len(output) == 1 else b"".join(output)

    def _check_elements(self, message: Message) -> None:
        found = ABILITY_OF_ELEMENTS.get(type(message))
        if found is not None and found[1] not in self.common_abilities and getattr(message, found[0]) is not None:
            raise LocalProtocolError(f"{type(message).__name__}.{found[0]} needs the ability {found[1]}")

    def _check_safe(self, message: Message) -> None:
        name = type(message).__name__
        if self.peer is None:
            raise LocalProtocolError(f"{name} must not be sent before the peer has introduced itself")
        if self._peer_named_abilities:
            ability = ABILITY_OF.get(type(message))
            if ability is not None and ability not in self.common_abilities:
                raise LocalProtocolError(f"{name} needs the ability {ability}")
        elif not (
            classic.is_safe(self.peer, message)
            or (isinstance(message, rspro.ConnectClientReq) and self._identity_known)
        ):
            raise LocalProtocolError(f"{name} must not be sent to a classic {self.peer.name.lower()}")

    # Receiving

    def receive_data(self, data: bytes, now: float, at: float = 0.0) -> None:
        """Take what arrived; events queue up for ``next_event``. ``at`` is as for ``receive_tpdu``."""
        if self._failed:
            return
        self._reader.receive_data(data)
        try:
            while (frame := self._reader.next_frame()) is not None:
                self.frames += 1
                is_rspro, payload = frame
                if is_rspro:
                    self._on_pdu(payload, now, at)
                else:
                    self._on_ccm(payload, now)
            if self._will_ask_identity and self.frames:
                self.send_id_get()
        except FrameError as error:
            self._fail(str(error), LimitName.FIRST_FRAME if isinstance(error, FrameSizeError) else None)

    def next_event(self) -> Event | None:
        """The oldest event not yet taken."""
        return self._events.popleft() if self._events else None

    def _on_pdu(self, payload: bytes, now: float, at: float) -> None:
        try:
            pdu = decode_pdu(payload)
        except DecodeError as error:
            self._on_undecodable(error, payload, now)
            return
        message = pdu.msg
        if pdu.version > rspro.VERSION:
            self._refuse_version(type(message), pdu, now)
        elif isinstance(message, UnknownMessage):
            self._events.append(ReceivedUnknown(message.number, pdu.tag))
        elif type(message) in REQUEST_OF:
            self._on_answer(cast(Response, message), pdu.tag, now)
        else:
            if type(message) in RESPONSE_TO and not self.expect_response(type(message), pdu.tag):
                return
            if isinstance(message, _CONNECT_REQUESTS):
                self._learn_role(message)
                self._learn_abilities(message.identity, now)
            elif self._session is not None and isinstance(message, rspro.TpduModemToCard):
                self._session.learn_flags(message)
                if self.tells_times:
                    self._arrivals[pdu.tag] = at
            elif voids_commands(message):
                self._requests.forget_commands()
            elif isinstance(message, rspro.ResumeInd):
                self._awaited = message.waits_for
            self._events.append(Received(message, pdu.tag))

    def _on_undecodable(self, error: DecodeError, payload: bytes, now: float) -> None:
        number, tag = error.alternative, error.tag
        if number is not None and tag is not None:
            kind = ALTERNATIVES[number].cls
            if error.version > rspro.VERSION:
                # A later version may have changed the very part that cannot be read.
                self._refuse_version(kind, RsproPdu(tag, UnknownMessage(number), error.version), now)
                return
            if kind in RESPONSE_TO and not self.expect_response(kind, tag):
                return
        self._events.append(Undecodable(error, payload))

    def _on_answer(self, message: Response, tag: int, now: float) -> None:
        asked = self._requests.match(REQUEST_OF[type(message)], tag, is_echoed=ECHO in self.common_abilities)
        if self._liveness.pong_by is not None and isinstance(message, rspro.TpduCardToModem):
            self._liveness.on_command_answered(now)
            self.is_deadline_changed = True
        if isinstance(message, _CONNECT_RESPONSES) and asked is not None:
            self._learn_abilities(message.identity, now)
        self._events.append(Received(message, tag, asked.request if asked else None))

    def expect_response(self, kind: type, tag: int) -> bool:
        """A request of class ``kind`` waits for our answer from now on. Returns False, and fails, if too many do."""
        if self._requests.expect_response(kind, tag):
            return True
        text = f"more than {MAX_UNANSWERED} requests without waiting for an answer"
        self._fail(text, LimitName.UNANSWERED_REQUESTS)
        return False

    def cancel(self, tag: int, response: type[Response]) -> None:
        """A request that gets no answer after all (a reset made it void)."""
        self._requests.cancel(tag, response)
        self._arrivals.pop(tag, None)

    def _learn_role(self, message: rspro.ConnectBankReq | rspro.ConnectClientReq) -> None:
        if self.peer is not None:
            return
        if isinstance(message, rspro.ConnectBankReq):
            self.peer = ComponentType.REMSIM_BANKD
        else:
            # A server that dials a bankd introduces itself with the client's request.
            is_server = message.identity.type is ComponentType.REMSIM_SERVER
            self.peer = ComponentType.REMSIM_SERVER if is_server else ComponentType.REMSIM_CLIENT

    def _learn_abilities(self, identity: ComponentIdentity, now: float) -> None:
        if identity.abilities is not None:
            self._peer_named_abilities = True
            self.common_abilities = frozenset(identity.abilities) & frozenset(self._own_abilities)
        if self._resume_keep_alive is not None and RESUME in self.common_abilities:
            self._liveness.change(self._resume_keep_alive, now)
            self.is_deadline_changed = True

    def _refuse_version(self, kind: type, pdu: RsproPdu, now: float) -> None:
        answer = rspro.refusal(kind, ResultCode.UNSUPPORTED_PROTOCOL_VERSION, self.identity)
        if answer is not None:
            if not self.expect_response(kind, pdu.tag):
                return
            self.send(answer, now=now, reply_to=pdu.tag)
        self._events.append(UnsupportedVersion(pdu.version, pdu.msg))

    def _on_ccm(self, payload: bytes, now: float) -> None:
        match payload[0]:
            case CcmType.PING:
                self._output.append(ccm.PONG)
            case CcmType.PONG:
                self._on_pong(now)
            case CcmType.ID_GET:
                self._output.append(ccm.answer_id_get(payload[1:]))
            case CcmType.ID_ACK if self._answers_id_ack:
                self._output.append(ccm.ID_ACK)
            case CcmType.ID_RESP:
                self._identity_known = True
                self._events.append(IdentityReceived())

    # Time

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` must be called at the latest; None if nothing is due."""
        if self._failed:
            return None
        alive = self._liveness.next_deadline()
        if self._connect_by is None or alive is None:
            return self._connect_by if alive is None else alive
        return min(self._connect_by, alive)

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``."""
        if self._failed:
            return
        if self._connect_by is not None and now >= self._connect_by:
            self._fail(f"no connect message within {self._connect_timeout_s:g} s", LimitName.IDENTIFY_TIME)
            return
        match self._liveness.handle_timer(now, busy_until=self._busy_until()):
            case SendPing():
                self._output.append(ccm.PING)
            case PeerSilent(reason):
                self._fail(reason)

    def _on_pong(self, now: float) -> None:
        self.is_deadline_changed = True
        if self._liveness.on_pong(now):
            self._events.append(ProbeAnswered())

    def _busy_until(self) -> float | None:
        """Until when a classic bankd's card may keep it from answering PING; None if it has no command."""
        since = None if self._peer_named_abilities else self._requests.oldest_command()
        return None if since is None else since + TPDU_GRACE_S

    def take_round_trip(self) -> float | None:
        """How long the peer took for a PONG, in seconds, if one has come since this was asked; None after a probe.

        ``is_deadline_changed`` is set with each PONG. A classic bankd answers no PING while its card works.
        """
        return self._liveness.take_round_trip()

    @property
    def dead_after_s(self) -> float:
        """A dead peer is noticed within this time, by PING."""
        return self._liveness.dead_after_s

    @property
    def has_failed(self) -> bool:
        """Whether the link must be closed; the event that says so may wait to be taken."""
        return self._failed

    def _fail(self, reason: str, limit: LimitName | None = None) -> None:
        self._failed = True
        # What follows does not count, frames that have arrived already included.
        self._reader = ipa.FrameReader()
        self._events.append(LinkFailed(reason, limit))


def _bounded(us: int) -> int:
    return max(0, min(us, MAX_MICROSECONDS))


#: Makes the engine of a new link; the argument is the present time.
EngineMaker = Callable[[float], LinkEngine]
