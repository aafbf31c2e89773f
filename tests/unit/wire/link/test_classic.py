# SPDX-License-Identifier: Apache-2.0
"""What may go to a classic peer, message by message and role by role, with the lines that say why.

The reasons are those of ``known-limits.md`` (numbers) and ``interop.md`` (letters).
"""

from ipaddress import IPv4Address

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link import classic
from remsim.wire.messages import extensions, health, rspro
from remsim.wire.messages.health import SessionPhase
from remsim.wire.messages.rspro import (
    NO_FLAGS,
    RESPONSE_TO,
    ComponentIdentity,
    ComponentType,
    Indication,
    Message,
    Request,
    SlotPhysStatus,
)

IDENTITY = ComponentIdentity(ComponentType.REMSIM_CLIENT, "vm", "remsim", "1")
CLIENT, BANK = ClientSlot(1, 0), BankSlot(1, 2)
STATUS = SlotPhysStatus(reset_active=False)
BANKD, SERVER, CLIENT_ROLE = ComponentType.REMSIM_BANKD, ComponentType.REMSIM_SERVER, ComponentType.REMSIM_CLIENT

#: Message to the roles of classic peers that get it; a role that is missing must never get it, for the reason given.
TABLE: list[tuple[Message, set[ComponentType], str]] = [
    (rspro.ConnectBankReq(IDENTITY, 1, 8), {SERVER}, "c: a bankd closes the link, a client ignores it"),
    (rspro.ConnectClientReq(IDENTITY, CLIENT), {SERVER, BANKD}, "c: a client ignores it"),
    (rspro.ConnectClientReq(IDENTITY), set(), "1: a server aborts; rspro.md 9.2: a bankd closes the link"),
    (rspro.CreateMappingReq(CLIENT, BANK), {BANKD}, "c: others ignore it"),
    (rspro.RemoveMappingReq(CLIENT, BANK), {BANKD}, "c: others ignore it"),
    (rspro.ConfigClientIdReq(CLIENT), {CLIENT_ROLE}, "c: a bankd closes the link"),
    (rspro.SetAtrReq(CLIENT, b"\x3b\x00"), {CLIENT_ROLE}, "c: a bankd closes the link"),
    (rspro.TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(5)), {BANKD}, "c: others ignore it"),
    (rspro.ClientSlotStatusInd(CLIENT, BANK, STATUS), {BANKD}, "c: others ignore it"),
    (rspro.BankSlotStatusInd(BANK, CLIENT, STATUS), set(), "38, c: a bankd closes the link, others ignore it"),
    (
        rspro.ErrorInd(CLIENT_ROLE, rspro.ErrorSeverity.MINOR, rspro.ErrorCode.UNEXPECTED_DISCONNECT),
        set(),
        "38, c: a bankd closes the link, others ignore it",
    ),
    (
        extensions.RevocationListInd(1, 0, bytes(1)),
        set(),
        "extensions: an unknown alternative makes a bankd close the link",
    ),
    (extensions.AuditInd("command.block", is_refused=True), set(), "extensions: as above"),
    (extensions.CertifiedInd(is_first=True, is_last=True, clients=()), set(), "extensions: as above"),
    (extensions.CardInd(BANK), set(), "extensions: as above"),
    (rspro.AddressesInd(()), set(), "extensions: as above"),
    (rspro.ReaderHealthInd(BANK, rspro.ReaderState.SUSPENDED, 3), set(), "extensions: as above"),
    (
        rspro.SessionInd(is_resumed=False, token=bytes(16), hold_idle_ms=60_000, hold_busy_ms=30_000),
        set(),
        "extensions: as above",
    ),
    (rspro.ResumeInd(bytes(16)), set(), "extensions: as above"),
    (rspro.SessionEndInd(rspro.SessionEnd.STOPPING), set(), "extensions: as above"),
    (rspro.SessionStateInd(BANK, CLIENT, SessionPhase.DETACHED, 1800, 3), set(), "extensions: as above"),
    (extensions.AheadInd(1, 1, bytes(5), bytes(2)), set(), "extensions: as above"),
    (extensions.AheadUsedInd(1, 16), set(), "extensions: as above"),
    (
        health.SlotHealthInd(
            bank_slot=BANK,
            is_present=True,
            presence_age_ms=0,
            phase=health.SessionPhase.NONE,
            phase_age_ms=0,
            counters=health.SlotCounters(),
            recent=health.RecentErrors(),
        ),
        set(),
        "extensions: as above",
    ),
    (
        health.ClientHealthInd(CLIENT, health.ClientPhase.OPERATIONAL, 0, health.ClientCounters()),
        set(),
        "extensions: as above",
    ),
    (health.InventoryInd(BANK), set(), "extensions: as above"),
    (health.HostConditionsInd(()), set(), "extensions: as above"),
    (extensions.TraceReq(30_000, BANK), set(), "extensions: as above"),
    (extensions.TraceInd(0, (), BANK), set(), "extensions: as above"),
    (rspro.ConfigClientBankReq(BANK, rspro.IpPort(IPv4Address("127.0.0.1"), 9999)), {CLIENT_ROLE}, "c"),
    (rspro.ResetStateReq(), {BANKD}, "36: clients ignore it"),
]


@pytest.mark.parametrize("role", ComponentType)
@pytest.mark.parametrize(("message", "allowed", "reason"), TABLE)
def test_only_what_a_classic_peer_survives_is_safe(
    message: Message, allowed: set[ComponentType], reason: str, role: ComponentType
) -> None:
    assert classic.is_safe(role, message) == (role in allowed), reason


def test_every_request_and_indication_is_judged() -> None:
    judged = {type(message) for message, _, _ in TABLE}
    assert judged == {*RESPONSE_TO, *Indication.__args__}
    assert set(RESPONSE_TO) == set(Request.__args__)
