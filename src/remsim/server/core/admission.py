# SPDX-License-Identifier: Apache-2.0
"""Which peers are accepted: checks connect requests, gives client ids to clients without one.

Which of several peers has an identity is decided by ``IdentityClaims``. What follows once a peer is accepted is not
decided here.
"""

from collections.abc import Callable
from typing import Final, Protocol

from remsim.core.claims import (
    CONTEST_HINT,
    MAX_CHALLENGERS,
    ClaimRefusal,
    ClaimVerdict,
    IdentityClaims,
    Refused,
    contest_texts,
)
from remsim.core.deadlines import Deadlines
from remsim.core.identity import Identity, Role
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.server.core.actions import Action, StoreClientId
from remsim.server.core.client_ids import ClientIds, client_key
from remsim.server.core.log_events import program_event
from remsim.server.core.peers import BankClaim, Claim, ClientClaim, Peer, PeerEvent, PeerTable
from remsim.wire.link.actions import Accepted, Close, LinkId, Probe, Send
from remsim.wire.messages.rspro import (
    MAX_ERROR_STRING,
    ComponentIdentity,
    ComponentType,
    ConfigClientIdReq,
    ConfigClientIdRes,
    ConnectBankReq,
    ConnectBankRes,
    ConnectClientReq,
    ConnectClientRes,
    ErrorCode,
    ErrorInd,
    ErrorSeverity,
    ResultCode,
)

#: rspro.md, 8.1: a peer whose identity is in use gets this long to close the link itself.
REJECTED_GRACE_S: Final = 1.0


class Host(Protocol):
    """Who goes on once a peer is accepted."""

    def on_client_accepted(self, peer: Peer, slot: ClientSlot, now: float) -> list[Action]:
        """A client is in."""
        ...

    def on_bankd_accepted(self, peer: Peer, request: ConnectBankReq, now: float) -> list[Action]:
        """A bankd is in."""
        ...


class Admission:
    """Accepts or refuses peers. ``timers`` are keyed by the link that is to be closed. ``identity`` is our own."""

    def __init__(
        self,
        peers: PeerTable,
        client_ids: ClientIds,
        timers: Deadlines[LinkId],
        *,
        identity: ComponentIdentity,
        takeover_s: float,
        is_certified: Callable[[Identity], bool],
        limits: LimitCounts,
        host: Host,
    ) -> None:
        self._peers = peers
        self._client_ids = client_ids
        self._timers = timers
        self._identity = identity
        self._takeover_s = takeover_s
        self._is_certified = is_certified
        self._limits = limits
        self._host = host
        #: Who holds which client slot or bank; a bank goes by its first slot.
        self.claims: IdentityClaims[BankSlot | ClientSlot, Peer] = IdentityClaims()
        #: What those who wait for an identity have asked for.
        self._waiting: dict[Peer, Claim] = {}
        #: Clients that are being given an id, by that id.
        self._taking_ids: dict[int, tuple[Peer, ClientClaim]] = {}

    # Connect requests

    def on_connect_client(self, peer: Peer, request: ConnectClientReq, tag: int, now: float) -> list[Action]:
        """A client introduces itself."""
        peer.identity = request.identity
        if request.identity.type is not ComponentType.REMSIM_CLIENT:
            return self._turn_away(peer, request, tag, "component type is not remsimClient")
        slot = request.client_slot
        objection = self._objection(peer, Role.CLIENT, slot)
        if objection:
            return self._turn_away(peer, request, tag, objection)
        if slot is not None:
            return self._claim(peer, ClientClaim(request, tag, slot, needs_id=False), now)
        if peer.proof is not None:
            # The certificate has the id that the client itself does not know.
            own = peer.proof.identity
            slot = ClientSlot(own.number or 0, own.slot_nr or 0)
            return self._claim(peer, ClientClaim(request, tag, slot, needs_id=True), now)
        if not self._client_ids.is_enabled:
            return self._turn_away(peer, request, tag, "it has no client id, and no pool is configured")
        key = client_key(request.identity)
        client_id = self._client_ids.find(key)
        actions: list[Action] = []
        if client_id is None:
            client_id = self._client_ids.assign(key, self._is_free)
            if client_id is None:
                self._limits.reached(LimitName.CLIENT_IDS)
                return self._turn_away(peer, request, tag, "the pool of client ids is used up")
            actions.append(StoreClientId(key, client_id))
        slot = ClientSlot(client_id, 0)
        # An id that was given long ago may have a certificate by now.
        objection = self._objection(peer, Role.CLIENT, slot)
        if objection:
            return self._turn_away(peer, request, tag, objection)
        return actions + self._claim(peer, ClientClaim(request, tag, slot, needs_id=True), now)

    def on_connect_bank(self, peer: Peer, request: ConnectBankReq, tag: int, now: float) -> list[Action]:
        """A bankd introduces itself."""
        peer.identity = request.identity
        if request.identity.type is not ComponentType.REMSIM_BANKD:
            return self._turn_away(peer, request, tag, "component type is not remsimBankd")
        objection = self._objection(peer, Role.BANK, BankSlot(request.bank_id, 0))
        if objection:
            return self._turn_away(peer, request, tag, objection)
        return self._claim(peer, BankClaim(request, tag), now)

    def _is_free(self, client_id: int) -> bool:
        return self._peers.lowest_slot(client_id) is None and not self._is_certified(Identity.client(client_id))

    def _objection(self, peer: Peer, role: Role, claimed: BankSlot | ClientSlot | None) -> str:
        """What the peer's certificate, or the lack of one, has against what it says it is; nothing if it is right."""
        proof = peer.proof
        if proof is not None:
            is_right = proof.identity.role is role and (claimed is None or proof.identity.covers(claimed))
            return "" if is_right else f"its certificate is for {proof.identity}, not for {claimed or role.value}"
        if claimed is None:
            return ""
        if isinstance(claimed, BankSlot):
            wanted = Identity.bank(claimed.bank_id)
        else:
            wanted = Identity.client(claimed.client_id, claimed.slot_nr)
        return f"a certificate was issued to {wanted}: plain TCP is refused" if self._is_certified(wanted) else ""

    def _objection_to(self, peer: Peer, claim: Claim) -> str:
        if isinstance(claim, BankClaim):
            return self._objection(peer, Role.BANK, BankSlot(claim.request.bank_id, 0))
        return self._objection(peer, Role.CLIENT, claim.slot)

    def _claim(self, peer: Peer, claim: Claim, now: float) -> list[Action]:
        verdict = self.claims.claim(_name_of(claim), peer, peer.proof, peer.address.host, now)
        if verdict is ClaimVerdict.HOLDS:
            return self._grant(peer, claim, now)
        holder = self.claims.holder(_name_of(claim))
        assert holder is not None
        if verdict is ClaimVerdict.TOO_MANY:
            self._limits.reached(LimitName.CHALLENGERS)
            refusal = self._refuse(peer, claim.request, claim.tag, ResultCode.IDENTITY_IN_USE)
            return [refusal, Close(peer.link, f"more than {MAX_CHALLENGERS} claim to be {holder.name}")]
        self._waiting[peer] = claim
        # It has introduced itself in time; it is not its fault that the answer must wait.
        actions: list[Action] = [Accepted(peer.link)]
        if verdict is ClaimVerdict.TAKES_OVER:
            actions.append(Close(holder.link, "its holder has connected anew"))
        elif verdict is ClaimVerdict.PROBE:
            actions.append(Probe(holder.link, self._takeover_s))
        return actions

    # Two peers, one identity

    def on_probe_answered(self, holder: Peer, now: float) -> list[Action]:
        """The older link is alive: all others that claim the same identity are refused."""
        refused = self.claims.on_alive(holder, now)
        return [action for each in refused for action in self._refuse_challenger(each, holder, now)]

    def on_lost(self, lost: Peer, now: float) -> list[Action]:
        """A peer is gone and has been taken out of the table: one that challenged it may hold its identity now."""
        self._timers.cancel(lost.link)
        self._waiting.pop(lost, None)
        if lost.client is not None and self._taking_ids.get(lost.client.client_id, (None,))[0] is lost:
            del self._taking_ids[lost.client.client_id]
        actions = self._refuse_uncertified(lost)
        succession = self.claims.on_lost(lost, now)
        if succession is None:
            return actions
        winner = succession.winner
        actions.append(program_event("info", "identity_taken_over", winner, identity=lost.name))
        actions += self._grant(winner, self._waiting.pop(winner), now)
        for refused in succession.refused:
            actions += self._refuse_challenger(refused, winner, now)
        return actions

    def _refuse_uncertified(self, holder: Peer) -> list[Action]:
        """A certificate may have been issued while these waited."""
        actions: list[Action] = []
        for peer in self.claims.challengers(holder):
            claim = self._waiting[peer]
            objection = self._objection_to(peer, claim)
            if objection:
                self.claims.withdraw(peer)
                del self._waiting[peer]
                actions += self._turn_away(peer, claim.request, claim.tag, objection)
        return actions

    def end_plain(self) -> list[Action]:
        """End the links without TLS of those to whom a certificate was issued meanwhile."""
        actions: list[Action] = []
        for peer in self._peers.holders():
            objection = ""
            if peer.client is not None:
                objection = self._objection(peer, Role.CLIENT, peer.client)
            elif peer.bank_id is not None:
                objection = self._objection(peer, Role.BANK, BankSlot(peer.bank_id, 0))
            if objection:
                actions.append(program_event("warning", "plain_link_ended", peer, reason=objection))
                actions.append(Close(peer.link, objection))
        return actions

    def _refuse_challenger(self, refused: Refused[Peer], holder: Peer, now: float) -> list[Action]:
        peer = refused.who
        claim = self._waiting.pop(peer)
        self._timers.set(peer.link, now + REJECTED_GRACE_S)
        refusal = self._refuse(peer, claim.request, claim.tag, ResultCode.IDENTITY_IN_USE)
        if refused.reason is ClaimRefusal.IN_USE:
            names = {"identity": holder.name, "holder": str(holder.address)}
            return [refusal, program_event("warning", "identity_in_use", peer, **names)]
        holder.contested_by = str(peer.address.host)
        told = self._tell_contest(peer, holder) if refused.reason is ClaimRefusal.CONTESTED else []
        return [*told, refusal]

    def _tell_contest(self, peer: Peer, holder: Peer) -> list[Action]:
        """Two programs with one certificate, both alive: tell both of them and the operator."""
        texts = contest_texts(str(peer.proof.identity) if peer.proof else "", str(holder.address), str(peer.address))
        actions: list[Action] = [
            Send(one.link, _error(text))
            for one, text in zip((holder, peer), texts, strict=True)
            if one.identity is not None and one.identity.abilities is not None
        ]
        fields = {"identity": holder.name, "holder": str(holder.address), "hint": CONTEST_HINT}
        return [*actions, program_event("error", "identity_contested", peer, **fields)]

    def on_timer(self, link: LinkId) -> list[Action]:
        """A rejected peer has not closed its link."""
        return [Close(link, "identity in use")]

    # Verdicts

    def _grant(self, peer: Peer, claim: Claim, now: float) -> list[Action]:
        if isinstance(claim, BankClaim):
            self._peers.hold_bank(peer, claim.request.bank_id)
            self._peers.accept(peer, PeerEvent.BANKD_ACCEPTED)
            answer = Send(peer.link, ConnectBankRes(self._identity, ResultCode.OK), claim.tag)
            return [Accepted(peer.link), answer, *self._host.on_bankd_accepted(peer, claim.request, now)]
        self._peers.hold_client(peer, claim.slot)
        if claim.needs_id:
            self._taking_ids[claim.slot.client_id] = (peer, claim)
            # An id that stands in the certificate needs no place in the database.
            is_stored = peer.proof is not None or self._client_ids.is_stored(client_key(claim.request.identity))
            return self._give_id(peer, claim) if is_stored else []
        self._peers.accept(peer, PeerEvent.CLIENT_ACCEPTED)
        response = Send(peer.link, ConnectClientRes(self._identity, ResultCode.OK), claim.tag)
        return [Accepted(peer.link), response, *self._host.on_client_accepted(peer, claim.slot, now)]

    def _turn_away(self, peer: Peer, request: ConnectBankReq | ConnectClientReq, tag: int, reason: str) -> list[Action]:
        is_bank = isinstance(request, ConnectBankReq)
        result = ResultCode.ILLEGAL_BANK_ID if is_bank else ResultCode.ILLEGAL_CLIENT_ID
        return [
            self._refuse(peer, request, tag, result),
            program_event("warning", "peer_refused", peer, reason=reason),
            Close(peer.link, reason),
        ]

    def _refuse(self, peer: Peer, request: ConnectBankReq | ConnectClientReq, tag: int, result: ResultCode) -> Send:
        self._peers.accept(peer, PeerEvent.REFUSED)
        if isinstance(request, ConnectBankReq):
            return Send(peer.link, ConnectBankRes(self._identity, result), tag)
        return Send(peer.link, ConnectClientRes(self._identity, result), tag)

    # Client ids

    def _give_id(self, peer: Peer, claim: ClientClaim) -> list[Action]:
        """Tell a client its id, now that the database has it; it is accepted when it has agreed."""
        response = ConnectClientRes(self._identity, ResultCode.OK)
        return [Send(peer.link, response, claim.tag), Send(peer.link, ConfigClientIdReq(claim.slot))]

    def on_id_stored(self, stored: StoreClientId) -> list[Action]:
        """The database has the id of a client."""
        self._client_ids.stored(stored.key)
        waiting = self._taking_ids.get(stored.client_id)
        return [] if waiting is None else self._give_id(*waiting)

    def on_id_failed(self, stored: StoreClientId) -> list[Action]:
        """The database could not store the id: the client must try again."""
        self._client_ids.forget(stored.key)
        waiting = self._taking_ids.get(stored.client_id)
        return [] if waiting is None else [Close(waiting[0].link, "its id could not be stored")]

    def on_config_id_res(self, peer: Peer, slot: ClientSlot, answer: ConfigClientIdRes, now: float) -> list[Action]:
        """The client has its id now, or did not take it."""
        del self._taking_ids[slot.client_id]
        if answer.result is not ResultCode.OK:
            return [
                program_event("warning", "client_did_not_take_id", peer, result=answer.result.name),
                Close(peer.link, "it did not take its id"),
            ]
        self._peers.accept(peer, PeerEvent.CLIENT_ACCEPTED)
        return [Accepted(peer.link), *self._host.on_client_accepted(peer, slot, now)]


def _name_of(claim: Claim) -> BankSlot | ClientSlot:
    """What is claimed; a bank goes by its first slot."""
    return BankSlot(claim.request.bank_id, 0) if isinstance(claim, BankClaim) else claim.slot


def _error(text: str) -> ErrorInd:
    return ErrorInd(
        sender=ComponentType.REMSIM_SERVER,
        severity=ErrorSeverity.MAJOR,
        code=ErrorCode.UNKNOWN_CLIENT_CONNECTED,
        error_string=text[:MAX_ERROR_STRING],
    )
