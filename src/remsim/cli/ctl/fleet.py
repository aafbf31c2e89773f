# SPDX-License-Identifier: Apache-2.0
"""Commands of ``remsim ctl`` that need REST v2: slots, cards, labels, waiting, and following what happens.

The models of v2 are imported when a command runs, because help needs none.
"""

import json
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import App, Parameter

from remsim.cli.ctl import tables
from remsim.cli.ctl.session import CtlSession, Given, IdText, dumped
from remsim.config import TextError, read_text
from remsim.core.errors import ConfigError, IdRangeError, RemsimError, reason_of
from remsim.core.ids import ClientSlot, check_id
from remsim.core.text import escape
from remsim.net.runtime.report import say_error

if TYPE_CHECKING:
    from remsim.rest import Rest
    from remsim.rest.models import BankSlotModel, CardModel, ChangeModel, EventModel, MappingModel

#: How long to wait until a stream that broke is opened again.
_RETRY_S: Final = 2.0

Goal = Annotated[
    Literal["active", "operational"],
    Parameter(
        name="--for",
        help="How far: the bankd has the mapping (active), or nothing is missing as far as the server knows.",
    ),
]
Timeout = Annotated[str, Parameter(metavar="TIME", help="How long, for example 30s; five minutes at most.")]
Reveal = Annotated[bool, Parameter(negative=(), show_default=False, help="Numbers in full; for admins, and audited.")]
Clear = Annotated[bool, Parameter(negative=(), show_default=False, help="Take all labels away.")]
Last = Annotated[
    str | None, Parameter(metavar="ID", show_default=False, help="Begin behind this event, not with what comes now.")
]
Count = Annotated[int | None, Parameter(metavar="N", show_default=False, help="End after so many events.")]


def add_to(commands: App) -> None:
    """Give ``remsim ctl`` these commands."""
    for command in (slots, cards, label, wait, watch, apply):
        commands.command(command)


def slots(bank: IdText = None, /, *, session: Given) -> int:
    """List the slots of all banks, or of one: 1 or B1. Absent banks are listed, too."""
    from remsim.rest import calls

    with session.rest.v2() as rest:
        banks = [item.bank for item in rest.items(calls.list_banks())] if bank is None else [_bank_id(bank)]
        found = [slot for bank_id in banks for slot in rest.items(calls.list_bank_slots(bank_id))]
    return session.show_list(found, tables.SLOTS, _slot_row)


def cards(*, reveal: Reveal = False, session: Given) -> int:
    """List the cards whose numbers are known, where they are, and who uses them."""
    from remsim.rest import calls

    with session.rest.v2() as rest:
        found = list(rest.items(calls.list_cards(reveal=reveal)))
    return session.show_list(found, tables.CARDS, _card_row)


def map_card(card: str, client: ClientSlot, *, follow: bool, session: CtlSession) -> int:
    """Give a free client slot a card that is named by REST v2: by its slot, number or label."""
    from pydantic import ValidationError

    from remsim.rest import calls

    try:
        call = calls.put_mapping(str(client), card, follow="card" if follow else None).only_if_new()
    except ValidationError:
        hint = "write a bank slot (B1:3), iccid:NUMBER, imsi:NUMBER or label:NAME"
        raise ConfigError(f"{card!r} names no card", hint=hint) from None
    with session.rest.v2() as rest:
        found = rest.do(call)
    missing = "; ".join(escape(each) for each in found.missing)
    text = f"mapped {found.bank} to {found.client}"
    said = f"{text}; {missing}" if missing else text
    return session.show(dumped(found), lambda: print(said))


def unmap_client(client: ClientSlot, session: CtlSession) -> int:
    """Delete the mapping of a client slot, whether it has a card or waits for one."""
    from remsim.rest import calls

    with session.rest.v2() as rest:
        rest.do(calls.delete_mapping(str(client)))
    return session.show({"deleted": str(client)}, lambda: print(f"unmapped {client}"))


def label(subject: str, /, *labels: str, clear: Clear = False, session: Given) -> int:
    """Give a bank slot (B1:3), client slot (C7:0) or card (iccid:NUMBER) these labels and no others; or show them."""
    from remsim.rest import calls

    if clear and labels:
        raise ConfigError("--clear takes all labels away", hint="give labels, or --clear")
    for name in labels:
        if not 1 <= len(name) <= 64:
            raise ConfigError(f"{name!r} is no label", hint="a label has 1..64 printable characters")
    if len(labels) > 8:
        raise ConfigError("that is more than 8 labels", hint="take some away")
    # As everywhere here, b1:3 is B1:3; iccid: is in small letters.
    subject = subject if subject.startswith("iccid:") else subject.upper()
    with session.rest.v2() as rest:
        is_change = clear or bool(labels)
        found = rest.do(calls.put_labels(subject, labels) if is_change else calls.show_labels(subject))
    text = ", ".join(escape(name) for name in found.labels) or "no labels"
    return session.show(dumped(found), lambda: print(f"{escape(found.subject)}: {text}"))


def wait(client_slot: str, /, *, goal: Goal = "operational", timeout: Timeout = "30s", session: Given) -> int:
    """Wait until the mapping of CLIENT:SLOT has come so far; exit status 1 and what is missing if it does not."""
    from remsim.rest import calls

    slot = str(ClientSlot.parse(client_slot.upper()))
    with session.rest.v2() as rest:
        found = rest.do(calls.show_mapping(slot, wait=goal, timeout=timeout))
    is_reached = found.operational if goal == "operational" else found.state.state == "active"
    missing = "; ".join(escape(each) for each in found.missing)
    if not is_reached and not session.is_json:
        raise RemsimError(f"{_has(found)} ({found.state.state}), but {missing}", hint="see remsim ctl mappings")
    text = f"{_has(found)}: {found.state.state}"
    said = f"{text}; {missing}" if missing else text
    session.show(dumped(found), lambda: print(said))
    return 0 if is_reached else 1


def _has(found: "MappingModel") -> str:
    return f"{found.client} has {found.bank or 'no slot'}"


def waiting(session: CtlSession, which: str | None) -> list[str]:
    """One line per mapping that waits for the card that it follows, of all or of a client (C7) or client slot (C7:0).

    None of a server that knows no v2.
    """
    from remsim.rest import RestApiError, calls

    try:
        with session.rest.v2() as rest:
            found = list(rest.items(calls.list_mappings(state="waiting")))
    except RestApiError:
        return []
    wanted = None if which is None else which.upper()
    return [
        f"{each.client} waits: {'; '.join(escape(text) for text in each.missing)}"
        for each in found
        if wanted is None or each.client == wanted or each.client.startswith(f"{wanted}:")
    ]


def apply(
    *,
    file: Annotated[str, Parameter(name=["--file", "-f"], metavar="FILE.toml", help="The desired state.")],
    dry_run: Annotated[bool, Parameter(negative=(), show_default=False, help="Only show what differs.")] = False,
    session: Given,
) -> int:
    """Make it so that exactly the mappings and labels of FILE are there, all or nothing; show what changes."""
    from pydantic import ValidationError

    from remsim.rest import calls
    from remsim.rest.complaints import complaint
    from remsim.rest.models import FleetOrder

    try:
        order = FleetOrder.model_validate(tomllib.loads(read_text(Path(file))))
    except (OSError, TextError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {reason_of(error)}") from None
    except ValidationError as error:
        text = f"{file}: {complaint(error, FleetOrder).text}"
        raise ConfigError(text, hint='write [mappings] "C7:0" = "B1:3"') from None
    with session.rest.v2() as rest:
        found = rest.do(calls.apply(order, dry_run=dry_run))
    lines = [_change(change) for change in found.changes] or ["nothing differs"]
    return session.show(dumped(found), lambda: print(*lines, sep="\n"))


def _change(change: "ChangeModel") -> str:
    sign = "+" if change.before is None else "-" if change.after is None else "~"
    values = " -> ".join(escape(value) for value in (change.before, change.after) if value is not None)
    return f"{sign} {escape(change.subject)} {change.kind} {values}"


def watch(*, last: Last = None, count: Count = None, session: Given) -> int:
    """Show what happens, one line per event, until you interrupt it; with --json one object per line.

    When the stream breaks, it is opened again and goes on where it was.
    """
    with session.rest.v2() as rest:
        for number, event in enumerate(_followed(rest, last), start=1):
            print(event.model_dump_json(exclude_none=True) if session.is_json else _line(event), flush=True)
            if number == count:
                break
    return 0


def _followed(rest: "Rest", last: str | None) -> "Iterator[EventModel]":
    """Events without end. Raises RestApiError if the server refuses them, or was never reached."""
    from remsim.rest import RestApiError
    from remsim.rest.client import EventsLostError

    is_begun = False
    while True:
        try:
            for event in rest.events(last):
                is_begun, last = True, event.id
                yield event
            reason = "the server has ended the stream"
        except EventsLostError as error:
            last = error.last
            say_error("events were lost", hint="look at the lists anew", program="ctl")
            continue
        except RestApiError as error:
            if error.status is not None or not (is_begun or last):
                raise
            reason = str(error)
        say_error(f"{reason}; trying again", hint="", program="ctl")
        time.sleep(_RETRY_S)


def _bank_id(text: str) -> int:
    digits = text[1:] if text[:1] in "Bb" else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        raise IdRangeError(f"{text!r} is no bank id", hint="write it as 1 or B1")
    return check_id(int(digits), "bank id")


def _slot_row(slot: "BankSlotModel") -> list[str]:
    mapping = slot.mapping
    mapped = (
        [tables.HIDDEN if slot.hidden_mapping else "", ""] if mapping is None else [mapping.client, mapping.state.state]
    )
    missing = [] if mapping is None else mapping.missing
    if slot.lock is not None:
        missing = [*missing, f"locked: {slot.lock.reason}"]
    health = "" if slot.health is None else slot.health.kind
    return [slot.slot, slot.card.state, slot.iccid or "", ", ".join(slot.labels), health, *mapped, "; ".join(missing)]


def _card_row(card: "CardModel") -> list[str]:
    client = (tables.HIDDEN if card.hidden_mapping else "") if card.mapping is None else card.mapping.client
    return [card.iccid, card.slot, card.presence.state, ", ".join(card.labels), client]


def _line(event: "EventModel") -> str:
    where = " ".join(each for each in (event.bank_slot, event.client_slot) if each)
    data = " ".join(f"{key}={_value(value)}" for key, value in event.data.items())
    return " ".join(part for part in (event.at, event.kind, f"[{where}]" if where else "", escape(data)) if part)


def _value(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value, ensure_ascii=False)
