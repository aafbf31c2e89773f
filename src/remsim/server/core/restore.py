# SPDX-License-Identifier: Apache-2.0
"""How what earlier runs have stored comes back into the slotmap."""

from remsim.server.core.actions import StoredMapping
from remsim.server.core.slotmap import Mapping, MappingState, SlotMap


def recall_mapping(slotmap: SlotMap, stored: StoredMapping) -> None:
    """Enter a mapping, or the removal that its bankd has not confirmed."""
    mapping = Mapping(
        stored.id,
        stored.bank,
        stored.client,
        stored.created_at,
        state=MappingState.NEW if stored.result is None else MappingState.REFUSED,
        is_sent=stored.is_sent,
        is_acknowledged=stored.is_acknowledged,
        result=stored.result,
    )
    if stored.is_live:
        slotmap.add(mapping)
    else:
        mapping.state = MappingState.DELETE_REQ
        slotmap.add_removal(mapping)
