# SPDX-License-Identifier: Apache-2.0
"""What peers report that moves nothing: it is kept with the peer, to be looked at, and logged."""

from remsim.ids import BankSlot
from remsim.redaction import scrub
from remsim.server.actions import Action, Report
from remsim.server.peers import Peer
from remsim.server.reports import named, odd
from remsim.wire.actions import Close
from remsim.wire.rspro import BankSlotStatusInd, ConnectClientRes, ErrorInd


def on_slot_status(peer: Peer, message: BankSlotStatusInd) -> list[Action]:
    """A bankd says whether there is a card in a slot."""
    slot, status = message.from_bank_slot, message.slot_phys_status
    if slot.bank_id != peer.bank_id:
        return [odd(peer, "foreign_slot_status", bank_slot=slot)]
    peer.slot_status[slot.slot_nr] = status
    return [Report("info", "bank_slot_status", {"bank_slot": slot, "card_present": status.card_present})]


def forget_absence(peer: Peer, slot: BankSlot) -> None:
    """A bankd has a new mapping of this slot. If there is still no card, it says so next."""
    status = peer.slot_status.get(slot.slot_nr)
    if status is not None and status.card_present is False:
        del peer.slot_status[slot.slot_nr]


def on_error(peer: Peer, error: ErrorInd) -> list[Action]:
    """A peer says that something went wrong."""
    peer.error_count += 1
    peer.last_error = error
    about: dict[str, object] = {
        "severity": error.severity.name,
        "code": error.code.name,
        "text": scrub(error.error_string or "") or None,
    }
    about |= {"about_bank_slot": error.bank_slot, "about_client_slot": error.client_slot}
    known = {key: value for key, value in about.items() if value is not None}
    return [Report("warning", "peer_reports_error", named(peer) | known)]


def on_dial_refused(peer: Peer, answer: ConnectClientRes) -> list[Action]:
    """A bankd that we dialled does not want us; if it did, it would have sent connectBankReq."""
    fields: dict[str, object] = {"peer": str(peer.address), "result": answer.result.name}
    return [Report("warning", "bankd_refused_server", fields), Close(peer.link, "the bankd refused us")]
