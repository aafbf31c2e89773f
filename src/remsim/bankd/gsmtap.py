# SPDX-License-Identifier: Apache-2.0
"""What is said of GSMTAP that hides nothing."""

from remsim.bankd.core.audit import plain_detail
from remsim.config import BankdConfig
from remsim.core.ids import BankSlot
from remsim.wire.messages.extensions import AuditInd


def revealing(config: BankdConfig) -> AuditInd:
    """What the audit log is told of a trace that hides nothing: of which slot, or of all, and to whom."""
    only = config.gsmtap_slot
    return AuditInd(
        "gsmtap.reveal",
        is_refused=False,
        bank_slot=None if only is None else BankSlot(config.bank_id, only),
        detail=plain_detail(f"secrets are shown to {config.gsmtap}"),
    )
