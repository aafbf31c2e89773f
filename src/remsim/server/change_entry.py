# SPDX-License-Identifier: Apache-2.0
"""How a change of mappings and labels stands in the audit log: as one entry, whatever it consists of."""

from collections.abc import Iterable, Mapping

from remsim.core.ids import BankSlot, ClientSlot
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import Actor, Entry
from remsim.server.core.labels import shown_subject

Pair = tuple[BankSlot, ClientSlot]


def pair_text(bank: BankSlot, client: ClientSlot) -> str:
    """A mapping, as it is named there."""
    return f"{bank} {client}"


def followed_text(iccid: str | None) -> str:
    """What a mapping follows: the card with this number, or its slot."""
    return "its slot" if iccid is None else f"the card {shorten_iccid(iccid)}"


def change_entry(
    by: Actor,
    ended: Iterable[Pair],
    created: Iterable[Pair],
    labels: Mapping[str, tuple[str, ...]],
    followed: Mapping[ClientSlot, str | None],
) -> Entry:
    """The entry of a change: mappings that ended and were made, labels, and what mappings follow that were there."""
    gone = [f"-{pair_text(*pair)}" for pair in ended]
    new = [f"+{pair_text(*pair)}" for pair in created]
    named = [f"{shown_subject(subject)}: {' '.join(names) or 'no labels'}" for subject, names in labels.items()]
    following = [f"{client} follows {followed_text(iccid)}" for client, iccid in followed.items()]
    if len(new) == 1 and len(gone) <= 1 and not named and not following:
        target = new[0].removeprefix("+")
    else:
        target = f"{len(gone)} deleted, {len(new)} created, {len(named)} labelled"
        target += f", {len(following)} following" if following else ""
    return Entry(by, "mapping.change", target, detail=", ".join([*gone, *new, *named, *following]))
