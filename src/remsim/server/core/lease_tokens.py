# SPDX-License-Identifier: Apache-2.0
"""Whether the token by which a lease was taken is still good for it. Without I/O."""

from collections.abc import Iterable, Mapping

from remsim.server.core.leases import Lease
from remsim.server.core.tokens import StoredToken, TokenRole


def lapsed(leases: Iterable[Lease], tokens: Mapping[str, StoredToken], wall: float) -> dict[int, str]:
    """Leases that end because of their tokens, by their numbers, with the reasons; ``tokens`` are all there are."""
    found = ((lease.order.id, _reason(lease, tokens.get(lease.order.token_id), wall)) for lease in leases)
    return {number: reason for number, reason in found if reason}


def _reason(lease: Lease, token: StoredToken | None, wall: float) -> str:
    """Why a lease ends; empty: it goes on. One that was taken without a token depends on none."""
    order = lease.order
    if not order.token_id:
        return ""
    if token is None:
        return "its token is not there any more"
    if token.revoked_at is not None:
        return "" if token.keeps_leases else "its token was revoked"
    if token.expires_at is not None and wall >= token.expires_at:
        return "its token has expired"
    if token.role < TokenRole.OPERATOR:
        return "its token may only look now"
    scope = token.scope
    # One that waits may get any card of the banks for which its token was when it asked.
    is_waiting_for_others = scope.banks is not None and (order.banks is None or not order.banks <= scope.banks)
    is_of_others = is_waiting_for_others if lease.bank is None else not scope.has_bank(lease.bank.bank_id)
    return "its token is for less now" if is_of_others or not scope.has_client(order.client.client_id) else ""
