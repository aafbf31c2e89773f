# SPDX-License-Identifier: Apache-2.0
"""What a bank says in words to a server or client of ours: ``errorInd``, which people read at the other end."""

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.messages import rspro


def error_ind(
    text: str,
    bank_slot: BankSlot | None,
    client_slot: ClientSlot | None,
    *,
    severity: rspro.ErrorSeverity = rspro.ErrorSeverity.MAJOR,
) -> rspro.ErrorInd:
    """``text`` as a message, as far as the message can carry it: printable ASCII of some length."""
    return rspro.ErrorInd(
        sender=rspro.ComponentType.REMSIM_BANKD,
        severity=severity,
        code=rspro.ErrorCode.UNEXPECTED_DISCONNECT,
        bank_slot=bank_slot,
        client_slot=client_slot,
        error_string="".join(c if " " <= c <= "~" else "?" for c in text)[: rspro.MAX_ERROR_STRING] or "card fault",
    )
