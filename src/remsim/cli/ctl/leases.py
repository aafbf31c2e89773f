# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl lease``: take a card of a pool for a time, look at leases, renew and release them.

The models of v2 are imported when a command runs, because help needs none.
"""

import re
import time
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from remsim.cli.ctl import tables
from remsim.cli.ctl.session import CtlSession, Given, dumped
from remsim.core.errors import ConfigError, RemsimError
from remsim.core.ids import ClientSlot
from remsim.core.text import escape
from remsim.net.runtime.report import say_error

if TYPE_CHECKING:
    from remsim.rest import Rest
    from remsim.rest.leases import LeaseModel

#: How long one answer is waited for; then it is asked again, so that no proxy between ends it.
_ROUND_S: Final = 30.0
#: A card that is free is there at once; who waits longer is told so.
_FIRST_S: Final = 2.0
#: After its wait the server says what came of it; its answer may take so long.
_SPARE_S: Final = 5.0

Duration = Annotated[str, Parameter(name="--for", metavar="TIME", help="For how long, for example 2h or 30m.")]
Wait = Annotated[
    str | None,
    Parameter(
        metavar="TIME",
        show_default=False,
        help="Wait so long for a free card, and until the modem can use it. Without it: a card that is free now, or "
        "none.",
    ),
]
Priority = Annotated[int, Parameter(metavar="N", help="-100..100: a higher one is served first.")]
Ended = Annotated[
    bool, Parameter(negative=(), show_default=False, help="Those that have ended of late, not those there are.")
]
Number = Annotated[int, Parameter(help="The number of the lease.")]

lease = App(
    name="lease",
    help="Lend cards: lease take POOL CLIENT:SLOT --for 2h. Without a command, list leases.",
    help_format="plaintext",
)


@lease.command
def take(
    pool: Annotated[
        str, Parameter(help="label:NAME: any free card with this label; or one card: B1:3, iccid:NUMBER, imsi:NUMBER.")
    ],
    client_slot: str,
    /,
    *,
    duration: Duration,
    wait: Wait = None,
    priority: Priority = 0,
    session: Given,
) -> int:
    """Lend a free card of POOL to CLIENT:SLOT for a time. Exit status 1 if the modem does not get it."""
    from pydantic import ValidationError

    from remsim.rest.complaints import complaint
    from remsim.rest.leases import LeaseRequest, take_lease

    client = str(ClientSlot.parse(client_slot.upper()))
    try:
        call = take_lease(
            pool,
            client,
            duration,
            wait=wait,
            priority=priority,
            timeout=None if wait is None else f"{_FIRST_S:g}s",
        )
    except ValidationError as error:
        hint = "write for example: remsim ctl lease take label:roaming C7:0 --for 2h --wait 10m"
        raise ConfigError(complaint(error, LeaseRequest).text, hint=hint) from None
    with session.rest.v2() as rest:
        found = rest.do(call)
        if wait is not None and not found.operational:
            _say_waiting(found)
            found = _awaited(rest, found, _seconds(wait))
    if not session.is_json and found.ended is not None:
        raise RemsimError(f"lease {found.id} ended: {_END_TEXTS[found.ended]}", hint="see remsim ctl lease list")
    is_good = found.operational if wait is not None else found.ended is None
    _show(session, found)
    return 0 if is_good else 1


def _say_waiting(found: "LeaseModel") -> None:
    before = "" if found.ahead is None else f", {found.ahead} before it"
    what = "; ".join(escape(each) for each in found.missing)
    say_error(
        f"lease {found.id}{before}: {what}",
        hint=f"stop waiting with: remsim ctl lease release {found.id}",
        program="ctl",
    )


def _awaited(rest: "Rest", found: "LeaseModel", wait_s: float) -> "LeaseModel":
    """The lease when its modem can use its card, or its time to wait is over."""
    from remsim.rest.leases import show_lease

    deadline = time.monotonic() + wait_s + _SPARE_S
    while not found.operational and found.ended is None and (left_s := deadline - time.monotonic()) > 0:
        timeout = f"{max(1, round(min(left_s, _ROUND_S)))}s"
        found = rest.do(show_lease(found.id, wait="operational", timeout=timeout))
    return found


def _seconds(text: str) -> float:
    unit = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    digits = text.rstrip("dhms")
    return int(digits) * unit[text.removeprefix(digits)]


@lease.command(name="list")
@lease.default
def list_leases(*, ended: Ended = False, session: Given) -> int:
    """List the leases that wait or have a card."""
    from remsim.rest import leases as calls

    with session.rest.v2() as rest:
        found = list(rest.items(calls.list_leases(state="ended" if ended else None)))
    return session.show_list(found, tables.LEASES, _row)


@lease.command
def renew(number: Number, /, *, duration: Duration, session: Given) -> int:
    """Let a lease that has a card last so long from now on."""
    from pydantic import ValidationError

    from remsim.rest.leases import renew_lease

    try:
        call = renew_lease(number, duration)
    except ValidationError:
        raise ConfigError(f"{duration!r} is no time", hint="write it as 30m, 2h or 7d") from None
    with session.rest.v2() as rest:
        found = rest.do(call)
    return _show(session, found)


@lease.command
def release(number: Number, /, *, session: Given) -> int:
    """Give a card back before its time is over, or stop waiting for one."""
    from remsim.rest.leases import release_lease

    with session.rest.v2() as rest:
        rest.do(release_lease(number))
    return session.show({"released": number}, lambda: print(f"released lease {number}"))


_END_TEXTS: Final = {
    "expired": "its time is over",
    "released": "it was released",
    "unmapped": "its mapping was deleted",
    "timed_out": "no card was free in time",
    "revoked": "its token is not good any more",
}


def _show(session: CtlSession, found: "LeaseModel") -> int:
    return session.show(dumped(found), lambda: print(_line(found)))


def _line(found: "LeaseModel") -> str:
    missing = "; ".join(escape(each) for each in found.missing)
    if found.mapping is None:
        what = f"lease {found.id}: {found.client} {found.state.state}"
    else:
        what = f"lease {found.id}: {found.client} has {found.mapping.bank} until {found.expires_at}"
    return f"{what}; {missing}" if missing else what


def _row(found: "LeaseModel") -> list[str]:
    # To the second: a terminal is narrow.
    until = re.sub(r"\.[0-9]+", "", found.ended_at or found.expires_at or found.waits_until or "")
    bank = "" if found.mapping is None else found.mapping.bank or ""
    why = _END_TEXTS[found.ended] if found.ended is not None else "; ".join(found.missing)
    return [str(found.id), found.pool, found.client, found.state.state, bank, until, why]
