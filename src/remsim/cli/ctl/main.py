# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl``: look at a server's banks, clients and mappings, and change mappings.

Exit status 0: done; 1: the server said no, or cannot be reached; 2: the command line is wrong.
"""

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from remsim.cli.ctl import bundles, fleet, health, latency, leases, slot_orders, tables, warnings, webhooks
from remsim.cli.ctl.session import CtlSession, Given, IdText
from remsim.cli.options import (
    NO_COMMON_OPTIONS,
    NO_REST_OPTIONS,
    CommonOptions,
    Flag,
    RestOptions,
    command_app,
    resolve,
)
from remsim.cli.rest import JsonObject, RestClient, RestError, mapping_object, open_rest, slotmap_id
from remsim.config import TextError, read_text
from remsim.core.errors import ConfigError, IdRangeError, RemsimError, reason_of
from remsim.core.ids import BankSlot, ClientSlot, check_id
from remsim.core.text import escape

commands = command_app("ctl", "Look at banks, clients and mappings of a server, and change mappings.")
#: Options of ``remsim ctl`` itself may stand before or after its command.
app = commands.meta

#: A bankd answers a mapping request from memory: one that is there has done so after this long.
SETTLING_S: Final = 2.0
_LOOK_AGAIN_S: Final = 0.1

#: "B7" or "C7": everything of one bank or client.
_WHOLE: Final = re.compile(r"([BC])([0-9]{1,5})", re.ASCII)
#: How a card begins that is not named by its slot.
_NAMED: Final = ("iccid:", "imsi:", "label:")

IccidText = Annotated[
    str | None, Parameter(metavar="ICCID", show_default=False, help="Number of the card in that slot.")
]

Follow = Annotated[
    bool,
    Parameter(
        negative=(), show_default=False, help="Let the mapping go with the card when it is put into another slot."
    ),
]


@app.default
def ctl(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    server: RestOptions = NO_REST_OPTIONS,
    json: Annotated[Flag, Parameter(help="Print JSON.")] = None,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """Connect to the REST interface of a server and run one command."""
    return _run(words, server, common, json=bool(json))


def _run(words: tuple[str, ...], server: RestOptions, common: CommonOptions, *, json: bool) -> int:
    command, bound, ignored = commands.parse_args(words, exit_on_error=False, print_error=False)
    if "session" not in ignored:
        # Help or version: they need no server.
        result = command(*bound.args, **bound.kwargs)
        return result if isinstance(result, int) else 0
    # Only now: help needs neither.
    from remsim.config import CtlConfig
    from remsim.logs import setup_logging

    config = resolve(CtlConfig, common, **vars(server))
    setup_logging(level=config.log_level, log_format=config.log_format)
    with open_rest(config, os.environ, program="ctl") as client:
        status = command(*bound.args, **bound.kwargs, session=CtlSession(client, json))
    return status if isinstance(status, int) else 0


@commands.command
def banks(bank_id: IdText = None, /, *, session: Given) -> int:
    """List the connected banks, or show one: 1 or B1."""
    if bank_id is None:
        items = session.rest.get_list("banks")
        return session.show(items, lambda: tables.print_banks(items))
    number = _parse_number(bank_id, "B", "bank id")
    bank = _known(session.rest.get(f"/banks/{number}"), f"bank {number} is not connected")
    return session.show(bank, lambda: tables.print_bank(bank, health.of_bank(session, number)))


@commands.command
def clients(client_id: IdText = None, /, *, session: Given) -> int:
    """List the connected clients, or show those of one client, 7 or C7, or one slot, 7:0 or C7:0."""
    items = session.rest.get_list("clients")
    if client_id is not None:
        # The list is asked for and searched here, because the C server looks up single clients wrongly.
        wanted = client_id.upper() if client_id[:1] in "Cc" else f"C{client_id}"
        if ":" in wanted:
            wanted = str(ClientSlot.parse(wanted))
            items = [item for item in items if item.get("peer") == wanted]
        else:
            wanted = f"C{_parse_number(wanted, 'C', 'client id')}"
            items = [item for item in items if str(item.get("peer")).partition(":")[0] == wanted]
        if not items:
            raise RestError(f"client {wanted} is not connected", hint="list them with: remsim ctl clients")
    return session.show(items, lambda: tables.print_clients(items, health.of_clients(session)))


@commands.command(alias="slotmaps")
def mappings(which: IdText = None, /, *, session: Given) -> int:
    """List the mappings, or those of a bank (B1), bank slot (B1:0), client (C7), client slot (C7:0) or number."""
    items = session.rest.get_list("slotmaps")
    if which is not None:
        matches = _mapping_filter(which)
        items = [item for item in items if matches(tables.bank_slot_text(item), tables.client_slot_text(item))]
    waiting = [] if session.is_json else fleet.waiting(session, which)
    if which is not None and not items and not waiting and ":" in which:
        raise RestError(f"{which} is not mapped", hint="list mappings with: remsim ctl mappings")
    return session.show(items, lambda: _print_mappings(items, waiting))


def _print_mappings(items: list[JsonObject], waiting: list[str]) -> None:
    if items or not waiting:
        tables.print_mappings(items)
    for line in waiting:
        print(line)


@commands.command(name="map", alias="create")
def create(card: str, client_slot: str, /, *, follow: Follow = False, session: Given) -> int:
    """Give a card to a client: BANK:SLOT CLIENT:SLOT. Or iccid:NUMBER, imsi:NUMBER, label:NAME for any free one."""
    client = ClientSlot.parse(client_slot.upper())
    if follow or card.startswith(_NAMED):
        return fleet.map_card(card, client, follow=follow, session=session)
    bank = BankSlot.parse(card.upper())
    is_new, found = True, None
    try:
        session.rest.create_mapping(bank, client)
    except RestError as error:
        # The C server says 400 for what ours calls a conflict.
        if error.status not in (400, 409) or _find(session.rest, bank, client) is None:
            raise
        is_new = False
    with contextlib.suppress(RestError):
        # It is stored; what becomes of it is reported as it happens.
        found = _settled(session.rest, bank, client)
    problem = str((found or {}).get("problem") or "")
    said = f"mapped {bank} to {client}" if is_new else f"{bank} is mapped to {client} already"
    shown = mapping_object(bank, client) | {key: found[key] for key in ("state", "problem") if found and key in found}
    return session.show(shown, lambda: print(f"{said}; {escape(problem)}" if problem else said))


def _find(rest: RestClient, bank: BankSlot, client: ClientSlot) -> JsonObject | None:
    """The mapping of exactly these two slots, as the list shows it."""
    wanted = (str(bank), str(client))
    items = rest.get_list("slotmaps")
    return next((i for i in items if (tables.bank_slot_text(i), tables.client_slot_text(i)) == wanted), None)


def _settled(rest: RestClient, bank: BankSlot, client: ClientSlot) -> JsonObject | None:
    """The mapping once its bankd has had its say, or after a moment; None if it is gone, or cannot be seen."""
    deadline = time.monotonic() + SETTLING_S
    while True:
        found = _find(rest, bank, client)
        # A bankd that has no card says so right behind its answer, so the second look counts.
        if found is None or found.get("problem") or time.monotonic() > deadline:
            return found
        is_last = found.get("state") == "ACTIVE"
        time.sleep(_LOOK_AGAIN_S)
        if is_last:
            return _find(rest, bank, client)


@commands.command(name="unmap", alias="delete")
def delete(slot: str, /, *, session: Given) -> int:
    """Take a card away from its client: BANK:SLOT, the number of the mapping, or C7:0, also if it waits for a card."""
    if slot[:1] in ("C", "c"):
        return fleet.unmap_client(ClientSlot.parse(slot.upper()), session)
    bank = _parse_bank_slot(slot)
    session.rest.delete_mapping(bank)
    return session.show({"deleted": slotmap_id(bank)}, lambda: print(f"unmapped {bank}"))


@commands.command
def audit(
    *, after: Annotated[int, Parameter(help="Show what follows this entry.", metavar="N")] = 0, session: Given
) -> int:
    """Show who changed or tried what, oldest first; with --json one object per line. Needs a token of an admin."""
    while True:
        value = (session.rest.get(f"/audit?after={after}") or {}).get("audit")
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise RestError("the server did not give its audit log", hint="is this a server's REST port?")
        if not value:
            return 0
        for item in value:
            print(json.dumps(item) if session.is_json else tables.audit_line(item))
        after = int(value[-1]["id"])


policy = App(
    name="policy",
    help="Check rules on who may use which card: policy check FILE.",
    help_format="plaintext",
)
commands.command(policy)


@policy.command
def check(file: str, bank_slot: IdText = None, client_slot: IdText = None, /, *, number: IccidText = None) -> int:
    """Check a policy FILE, and show what it allows for BANK:SLOT CLIENT:SLOT. Needs no server."""
    from remsim.card.iccid import is_iccid
    from remsim.policy.mapping import parse_mapping_policy

    number = None if number is None else number.upper()
    if number is not None and not is_iccid(number):
        raise ConfigError("--number is no ICCID", hint="write its digits (0 to 9, A to E), 20 at most")
    try:
        text = read_text(Path(file))
    except (OSError, TextError) as error:
        raise ConfigError(f"{file} cannot be read: {reason_of(error)}") from None
    rules = parse_mapping_policy(text, file)
    if bank_slot is None or client_slot is None:
        if number is not None:
            raise ConfigError("--number says which card is in BANK:SLOT", hint="give BANK:SLOT and CLIENT:SLOT, too")
        print(f"{file}: {rules.size}, by default {'allow' if rules.is_open else 'deny'}")
        return 0
    decision = rules.decide(ClientSlot.parse(client_slot.upper()), BankSlot.parse(bank_slot.upper()), number)
    if not decision.is_allowed:
        raise RemsimError(f"refused: {decision.reason}")
    print(f"allowed: {decision.reason}")
    return 0


@commands.command(name="global-reset", alias="reset")
def global_reset(
    *, yes: Annotated[bool, Parameter(negative=(), show_default=False, help="Do not ask.")] = False, session: Given
) -> int:
    """Delete all mappings. Asks for confirmation, unless --yes is given."""
    if not yes:
        _ask_before_reset(session.rest)
    session.rest.global_reset()
    return session.show({}, lambda: print("all mappings are deleted"))


fleet.add_to(commands)
health.add_to(commands)
commands.command(leases.lease)
commands.command(webhooks.webhooks)
commands.command(warnings.warnings)
commands.command(bundles.bundle)
latency.add_to(commands)
slot_orders.add_to(commands)


def _ask_before_reset(rest: RestClient) -> None:
    """Raises ConfigError without a terminal, RestError if the answer is no."""
    if not sys.stdin.isatty():
        raise ConfigError("reset deletes all mappings and asks before, but there is no terminal", hint="add --yes")
    count = len(rest.get_list("slotmaps"))
    print(f"Delete all {count} mappings? Their modems lose their cards. [y/N] ", end="", flush=True, file=sys.stderr)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RestError("nothing was deleted")


def _known(item: JsonObject | None, message: str) -> JsonObject:
    if item is None:
        raise RestError(message)
    return item


def _parse_number(text: str, letter: str, what: str) -> int:
    digits = text[1:] if text[:1].upper() == letter else text
    if re.fullmatch(r"[0-9]{1,9}", digits, re.ASCII) is None:
        raise IdRangeError(f"{text!r} is no {what}", hint=f"write it as 1 or {letter}1")
    return check_id(int(digits), what)


def _mapping_filter(which: str) -> Callable[[str, str], bool]:
    """Return a test on the two texts of a mapping, ``B1:0`` and ``C7:0``. Raises IdRangeError."""
    text = which.upper()
    whole = _WHOLE.fullmatch(text)
    if whole is not None:
        prefix = f"{whole[1]}{check_id(int(whole[2]), 'id')}:"
        return lambda bank, client: (bank if prefix[0] == "B" else client).startswith(prefix)
    if text.startswith("C"):
        wanted = str(ClientSlot.parse(text))
        return lambda _bank, client: client == wanted
    wanted = str(_parse_bank_slot(text))
    return lambda bank, _client: bank == wanted


def _parse_bank_slot(text: str) -> BankSlot:
    """Read ``B1:0``, ``1:0``, or the number by which REST v1 names a mapping. Raises IdRangeError."""
    if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) is not None:
        return BankSlot(int(text) >> 16, int(text) & 0xFFFF)
    return BankSlot.parse(text.upper())
