# SPDX-License-Identifier: Apache-2.0
"""What in the coordinator's state deserves a warning, and after how long. Without I/O; time is an argument.

What must last for a while before it is worth a word is remembered from look to look. What only the outside knows (disk,
clock, certificates) is found by ``remsim.server.warning_watch``.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from remsim.core.ids import ClientSlot
from remsim.redaction import shorten_iccid
from remsim.server.core.bank_hosts import HOST_KINDS, host_alerts
from remsim.server.core.inventory import Inventory
from remsim.server.core.known import KnownPeers, absence
from remsim.server.core.peers import Peer, PeerTable
from remsim.server.core.slotmap import Mapping, MappingState, SlotMap
from remsim.server.core.warnings import Alert
from remsim.wire.link.abilities import CARDS
from remsim.wire.messages.rspro import ReaderState

#: A modem that just got its card, a bankd that restarts: that takes less.
PATIENCE_S: Final = 60.0
#: So many connects within this time are too many.
FLAPS: Final = 5
FLAP_S: Final = 600.0
#: Peers whose connects are remembered; the one that connected longest ago is forgotten.
_MAX_ARRIVALS: Final = 16_384

#: What ``WarningRules.look`` finds.
KINDS: Final = frozenset(
    {
        *(
            "bank-absent",
            "card-away",
            "card-pulled",
            "identity",
            "mapping-not-operational",
            "mapping-refused",
            "reader",
        ),
        "twins",
        *HOST_KINDS,
    }
)

Found = dict[tuple[str, str], Alert]


class Arrivals:
    """When each bank and client slot was let in of late."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def note(self, name: str, now: float) -> None:
        """A peer was let in."""
        times = self._times.pop(name, None) or deque(maxlen=FLAPS)
        times.append(now)
        self._times[name] = times
        if len(self._times) > _MAX_ARRIVALS:
            del self._times[next(iter(self._times))]

    def flapping(self, now: float) -> list[str]:
        """Those that were let in too often."""
        return [name for name, times in self._times.items() if len(times) == FLAPS and times[0] > now - FLAP_S]


@dataclass(slots=True)
class WarningRules:
    """Finds what is wrong in the tables of the coordinator, and remembers since when."""

    slotmap: SlotMap
    peers: PeerTable
    inventory: Inventory
    known: KnownPeers
    arrivals: Arrivals = field(default_factory=Arrivals)
    #: Since when each bank or mapping has lacked something.
    _since: dict[str, float] = field(default_factory=dict)

    def look(self, missing: Iterable[tuple[Mapping, list[str], float | None]], now: float) -> Found:
        """Everything of ``KINDS`` that is wrong.

        ``missing`` has each mapping with what it lacks, in words, and since when, in seconds since 1970-01-01 UTC;
        None: that is not known.
        """
        found: Found = {}
        absent: dict[int, tuple[int, float]] = {}
        lacking: dict[str, float] = {}
        for mapping, lacks, began_at in missing:
            bank_id = mapping.bank.bank_id
            peer = self.peers.by_bank(bank_id)
            if peer is None:
                absent[bank_id] = (absent.get(bank_id, (0, 0.0))[0] + 1, began_at or 0.0)
            elif not self._about_card(mapping, peer, found, began_at if lacks and began_at else 0.0) and lacks:
                since = lacking[str(mapping.client)] = self._since.get(str(mapping.client), now)
                if now - since >= PATIENCE_S:
                    _add(found, _not_operational(mapping, lacks, began_at or 0.0))
        for bank_id, (count, left_at) in absent.items():
            name = f"B{bank_id}"
            since = lacking[name] = self._since.get(name, now)
            if now - since >= PATIENCE_S:
                text = f"{absence(f'bank {bank_id}', self.known.bank(bank_id))}; {_mappings(count)} it"
                hint = "is its bankd running, and does it reach the server?"
                _add(found, Alert(0, "bank-absent", name, left_at, text, hint))
        self._since = lacking
        self._cards(found)
        self._readers(found)
        for peer in self.peers.banks():
            for alert in host_alerts(peer):
                _add(found, alert)
        self._identities(found, now)
        return found

    def _about_card(self, mapping: Mapping, peer: Peer, found: Found, began_at: float) -> bool:
        """Whether the mapping lacks something that has a warning of its own."""
        bank, client = mapping.bank, mapping.client
        if mapping.state is MappingState.REFUSED:
            text = f"bank {bank.bank_id} refused the mapping of {client} to {bank}"
            if bank.slot_nr >= peer.number_of_slots:
                text = f"bank {bank.bank_id} has no slot {bank.slot_nr}, to which {client} is mapped"
            hint = "see the log of that bankd; map another slot"
            _add(found, Alert(0, "mapping-refused", str(client), began_at, text, hint, "error", bank))
            return True
        status = peer.slot_status.get(bank.slot_nr)
        tells = peer.identity is not None and CARDS in (peer.identity.abilities or ())
        is_gone = tells and self.inventory.number(bank) is None and self.inventory.last_number(bank) is not None
        if (status is not None and status.card_present is False) or is_gone:
            text = f"there is no card in {bank}, which {client} uses"
            hint = "put the card back, or give the modem another one"
            _add(found, Alert(0, "card-pulled", str(bank), began_at, text, hint, "warning", client))
            return True
        return bank.slot_nr in peer.readers

    def _cards(self, found: Found) -> None:
        for parked in self.slotmap.parked():
            card = shorten_iccid(parked.iccid)
            text = f"{parked.client} waits for the card {card}, which was in {parked.bank}; another card is there now"
            hint = "put the card into any slot, or give the modem another one"
            _add(found, Alert(0, "card-away", str(parked.client), parked.since, text, hint, "warning", parked.bank))
        for iccid, (first, second, *_) in self.inventory.twins().items():
            text = f"the cards in {first} and {second} have one number, {shorten_iccid(iccid)}"
            hint = "is one of them a copy? mappings that follow this number stay where they are until one is gone"
            _add(found, Alert(0, "twins", str(first), 0.0, text, hint, "warning", second))

    def _readers(self, found: Found) -> None:
        for peer in self.peers.banks():
            for number, health in peer.readers.items():
                what = "is tried once more" if health.state is ReaderState.PROBING else "is left alone for a while"
                text = f"the reader of B{peer.bank}:{number} has failed {health.failures} times in a row, and {what}"
                hint = "is another program using it, or its cable loose? see remsim doctor on that host"
                _add(found, _alert("reader", f"B{peer.bank}:{number}", text, hint))

    def _identities(self, found: Found, now: float) -> None:
        for name in self.arrivals.flapping(now):
            text = f"{name} has connected {FLAPS} times within {FLAP_S / 60:.0f} minutes"
            hint = "do two programs have this number, or is its network bad? see the server's log"
            _add(found, _alert("identity", name, text, hint))
        for peer in (*self.peers.banks(), *self.peers.clients()):
            if peer.contested_by:
                text = f"another program with the certificate of {peer.name} called from {peer.contested_by}"
                hint = "stop one of them; a certificate that was copied is to be revoked: remsim pki revoke"
                _add(found, _alert("identity", peer.name, text, hint, is_error=True))


def arrival_name(peer: Peer, client: ClientSlot | None = None) -> str:
    """By which name ``Arrivals`` knows a peer."""
    return f"B{peer.bank}" if client is None else str(client)


def _mappings(count: int) -> str:
    return "1 mapping waits for" if count == 1 else f"{count} mappings wait for"


def _not_operational(mapping: Mapping, lacks: list[str], began_at: float) -> Alert:
    hint = f"see remsim ctl wait {mapping.client}"
    text = f"{mapping.client} cannot use {mapping.bank}: {'; '.join(lacks)}"
    return Alert(0, "mapping-not-operational", str(mapping.client), began_at, text, hint, "warning", mapping.bank)


def _alert(kind: str, about: str, text: str, hint: str, *, is_error: bool = False) -> Alert:
    return Alert(0, kind, about, 0.0, text, hint, "error" if is_error else "warning")


def _add(found: Found, alert: Alert) -> None:
    found[alert.kind, alert.about] = alert
