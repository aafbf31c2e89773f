# SPDX-License-Identifier: Apache-2.0
"""What each client is told: which bank slot it has, and where its bankd listens.

The last message that a client got is always the right one, because what is right is worked out anew at each occasion
and sent only if it differs from what was said last on this connection:

- its mapping is, or was, ACTIVE: the bankd's address, the last known one if the bankd is absent;
- its mapping was refused, or is deleted: the bank slot with port 0, which means "no bankd";
- otherwise nothing: a mapping that the bankd has not acknowledged yet tells a connected client nothing new; one that
  connects while no bankd has heard of its mapping gets port 0, too.

A client that is absent when its mapping is deleted is told when it returns (a *release*, which survives a restart),
unless it has the same bank slot again by then.
"""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.core.values import dataclass
from remsim.server.core.actions import Action, NoteReleased
from remsim.server.core.addresses import address_for_client
from remsim.server.core.peers import Peer, PeerTable
from remsim.server.core.slotmap import Mapping, MappingState, SlotMap
from remsim.wire.link.actions import Send
from remsim.wire.messages.rspro import (
    MAX_ERROR_STRING,
    AddressKind,
    AdvertisedAddress,
    ComponentType,
    ConfigClientBankReq,
    ConfigClientBankRes,
    ErrorCode,
    ErrorInd,
    ErrorSeverity,
    IpPort,
    ResultCode,
)


def no_address(bank_id: int, *, kind: AddressKind, is_ipv6_only: bool) -> str:
    """Why a client cannot be sent to a bankd that is there."""
    if is_ipv6_only:
        return f"bank {bank_id} has IPv6 addresses only, which this client is not given"
    if kind is AddressKind.TLS:
        return f"bank {bank_id} has no TLS address, and this client has a certificate: enrol the bankd's host"
    return f"bank {bank_id} has no plaintext address, and this client has no certificate: enrol the client's host"


#: rspro.md, 8.3: port 0 means "no bankd".
NO_BANKD: Final = IpPort(IPv4Address(0), 0)


@dataclass(frozen=True, slots=True)
class PendingUnmap:
    """A deleted mapping whose client may still go to the bankd."""

    mapping_id: int
    bank: BankSlot


@dataclass(frozen=True, slots=True)
class NoAddress:
    """The bankd has no address that this client can use."""

    bank: BankSlot
    problem: str


class ClientConfigurator:
    """Tells clients. ``takes_ipv6``: whether a classic client with this id may be sent to an IPv6 address."""

    def __init__(
        self,
        slotmap: SlotMap,
        peers: PeerTable,
        *,
        bank_addresses: dict[int, tuple[AdvertisedAddress, ...]],
        takes_ipv6: Callable[[int], bool],
    ) -> None:
        self._slotmap = slotmap
        self._peers = peers
        self._takes_ipv6 = takes_ipv6
        #: Where clients reach each bankd, or reached it last.
        self.bank_addresses = bank_addresses
        self._releases: dict[ClientSlot, PendingUnmap] = {}

    def restore_unmap(self, client: ClientSlot, release: PendingUnmap) -> None:
        """A release of an earlier run; later ones of the same client replace earlier ones."""
        self._releases[client] = release

    def release(self, mapping: Mapping) -> list[Action]:
        """The mapping was deleted: its client is told at once, or when it returns."""
        older = self._releases.get(mapping.client)
        self._releases[mapping.client] = PendingUnmap(mapping.id, mapping.bank)
        actions: list[Action] = [] if older is None else [NoteReleased(older.mapping_id)]
        return actions + self.refresh(mapping.client)

    def supersede(self, client: ClientSlot) -> list[Action]:
        """A newer mapping of this client is ACTIVE: it need not be told of deleted ones any more."""
        release = self._releases.pop(client, None)
        return [] if release is None else [NoteReleased(release.mapping_id)]

    def welcome(self, client: ClientSlot) -> list[Action]:
        """The client has just connected: tell it what is right.

        One whose mapping no bankd has heard of yet learns its bank slot and that there is no bankd, as from the C
        server. It cannot be in a session with that mapping, so nothing is disturbed.
        """
        mapping = self._slotmap.by_client_slot(client)
        if mapping is not None and mapping.state is MappingState.NEW and not mapping.is_sent:
            return self._tell(client, ConfigClientBankReq(mapping.bank, NO_BANKD))
        return self.refresh(client)

    def refresh(self, client: ClientSlot) -> list[Action]:
        """Tell the client what is right, if it is connected and was told otherwise."""
        peer = self._peers.connected_client(client)
        return [] if peer is None else self._tell(client, self._wanted(client, peer))

    def _tell(self, client: ClientSlot, wanted: ConfigClientBankReq | NoAddress | None) -> list[Action]:
        peer = self._peers.connected_client(client)
        if peer is None:
            return []
        if isinstance(wanted, NoAddress):
            return self._tell_problem(client, peer, wanted)
        peer.address_problem = ""
        if wanted is None or wanted == peer.announced:
            return []
        peer.announced = wanted
        peer.announced_result = peer.answered_at = None
        bankd = f"{wanted.bankd.ip}:{wanted.bankd.port}" if wanted.bankd.port else None
        name = "client_sent_to_bankd" if wanted.bankd.port else "client_told_no_bankd"
        return [Send(peer.link, wanted), LogEvent("info", name, wanted.bank_slot, client, {"bankd": bankd})]

    def _tell_problem(self, client: ClientSlot, peer: Peer, wanted: NoAddress) -> list[Action]:
        """The client has a mapping and can do nothing with it: the log says why, and a client of ours, too."""
        if peer.address_problem == wanted.problem:
            return []
        peer.address_problem = wanted.problem
        name, fields = "bankd_has_no_address_for_client", {"reason": wanted.problem}
        actions: list[Action] = [LogEvent("warning", name, wanted.bank, client, fields)]
        if not peer.is_classic:
            actions.append(
                Send(
                    peer.link,
                    ErrorInd(
                        ComponentType.REMSIM_SERVER,
                        ErrorSeverity.MAJOR,
                        ErrorCode.UNEXPECTED_DISCONNECT,
                        wanted.bank,
                        client,
                        wanted.problem[:MAX_ERROR_STRING],
                    ),
                )
            )
        return actions

    def on_config_res(self, peer: Peer, answer: ConfigClientBankRes, request: object, now: float) -> list[Action]:
        """The client has answered (known-limits 35)."""
        if request is not peer.announced or peer.announced is None or peer.client is None:
            return []
        peer.announced_result, peer.answered_at = answer.result, now
        actions: list[Action] = []
        if answer.result is not ResultCode.OK:
            fields = {"result": answer.result.name}
            actions.append(LogEvent("warning", "client_did_not_obey", client_slot=peer.client, fields=fields))
        if peer.announced.bankd.port == 0:
            actions += self.supersede(peer.client)
        return actions

    def _wanted(self, client: ClientSlot, peer: Peer) -> ConfigClientBankReq | NoAddress | None:
        mapping = self._slotmap.by_client_slot(client)
        if mapping is not None and mapping.is_acknowledged:
            places = self.bank_addresses.get(mapping.bank.bank_id, ())
            address = address_for_client(
                places,
                link=peer.address,
                is_classic=peer.is_classic,
                takes_ipv6=self._takes_ipv6(client.client_id),
                kind=peer.kind,
            )
            if address is not None:
                return ConfigClientBankReq(mapping.bank, address)
            has_any = any(place.kind is peer.kind for place in places)
            return NoAddress(mapping.bank, no_address(mapping.bank.bank_id, kind=peer.kind, is_ipv6_only=has_any))
        if mapping is not None and mapping.state is MappingState.REFUSED:
            return ConfigClientBankReq(mapping.bank, NO_BANKD)
        release = self._releases.get(client)
        if release is None or (mapping is not None and mapping.bank == release.bank):
            return None
        return ConfigClientBankReq(release.bank, NO_BANKD)
