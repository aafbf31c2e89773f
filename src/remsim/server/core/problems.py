# SPDX-License-Identifier: Apache-2.0
"""Why a mapped client has no card, in words, as far as the server can know. Decides nothing."""

from remsim.server.core.peers import Peer
from remsim.server.core.slotmap import Mapping, MappingState
from remsim.wire.messages.rspro import AddressKind, ResultCode


def problem_of(mapping: Mapping, bank: Peer | None, client: Peer | None) -> str:
    """What stands between this client and its card; ``bank`` and ``client`` are those that are connected."""
    if mapping.state is MappingState.REFUSED and mapping.result is not None:
        return _refusal(mapping, mapping.result)
    if bank is None:
        return f"bank {mapping.bank.bank_id} is not connected"
    if mapping.is_acknowledged and client is not None and client.address_problem:
        return client.address_problem
    status = bank.slot_status.get(mapping.bank.slot_nr)
    if status is not None and status.card_present is False:
        return "there is no card in the slot, or no reader"
    return ""


def no_address(bank_id: int, *, kind: AddressKind, is_ipv6_only: bool) -> str:
    """Why a client cannot be sent to a bankd that is there."""
    if is_ipv6_only:
        return f"bank {bank_id} has IPv6 addresses only, which this client is not given"
    if kind is AddressKind.TLS:
        return f"bank {bank_id} has no TLS address, and this client has a certificate: enroll the bankd's host"
    return f"bank {bank_id} has no plaintext address, and this client has no certificate: enroll the client's host"


def _refusal(mapping: Mapping, result: int) -> str:
    if result == ResultCode.ILLEGAL_SLOT_ID:
        return f"bank {mapping.bank.bank_id} has no slot {mapping.bank.slot_nr}"
    return f"bank {mapping.bank.bank_id} refused the mapping"
