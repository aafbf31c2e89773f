# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl webhooks``: to whom the server sends events, and what came of it.

The models of v2 are imported when a command runs, because help needs none.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from remsim.cli.ctl import tables
from remsim.cli.ctl.session import CtlSession, Given, dumped
from remsim.config import TextError, read_text
from remsim.core.errors import ConfigError, RemsimError, reason_of
from remsim.core.text import escape

if TYPE_CHECKING:
    from remsim.rest.webhooks import DeliveryModel, WebhookModel

Number = Annotated[int, Parameter(help="The number of the webhook.")]
Kinds = Annotated[
    tuple[str, ...],
    Parameter(
        name="--kind",
        metavar="KIND",
        negative=(),
        show_default=False,
        help="Only events of this kind; may be given several times.",
    ),
]
Secret = Annotated[
    str | None,
    Parameter(
        allow_leading_hyphen=True,
        metavar="FILE",
        show_default=False,
        help="What deliveries are signed with, 16 to 128 characters: read from this file, or from stdin (-). Without "
        "it the server makes one, and it is printed once.",
    ),
]

webhooks = App(
    name="webhooks",
    help="Send events to programs: webhooks add URL. Without a command, list webhooks. For admins.",
    help_format="plaintext",
)


@webhooks.command(name="list")
@webhooks.default
def list_all(*, session: Given) -> int:
    """List the webhooks: how much waits for each, and since when it fails."""
    from remsim.rest.webhooks import list_webhooks

    with session.rest.v2() as rest:
        found = list(rest.items(list_webhooks()))
    return session.show_list(found, tables.WEBHOOKS, _row)


@webhooks.command
def add(url: str, /, *, kinds: Kinds = (), secret: Secret = None, session: Given) -> int:
    """Send events to URL from now on, as signed POST requests."""
    from pydantic import ValidationError

    from remsim.rest.complaints import complaint
    from remsim.rest.webhooks import WebhookOrder, create_webhook

    text = None if secret is None else _read_secret(secret)
    try:
        call = create_webhook(url, kinds=kinds or None, secret=text)
    except ValidationError as error:
        hint = "write for example: remsim ctl webhooks add https://example.org/remsim"
        raise ConfigError(complaint(error, WebhookOrder).text, hint=hint) from None
    with session.rest.v2() as rest:
        made = rest.do(call)
    said = f"webhook {made.id}: {escape(made.url)}"
    shown = said if text is not None else f"{said}\nits secret, which is not shown again: {made.secret}"
    return session.show(dumped(made), lambda: print(shown))


@webhooks.command
def delete(number: Number, /, *, session: Given) -> int:
    """Send nothing there any more; what waits is dropped."""
    from remsim.rest.webhooks import delete_webhook

    with session.rest.v2() as rest:
        rest.do(delete_webhook(number))
    return session.show({"deleted": number}, lambda: print(f"deleted webhook {number}"))


@webhooks.command
def pause(number: Number, /, *, session: Given) -> int:
    """Send nothing there for now; what happens waits."""
    from remsim.rest.webhooks import pause_webhook

    with session.rest.v2() as rest:
        found = rest.do(pause_webhook(number))
    return session.show(dumped(found), lambda: print(f"webhook {number} is paused; {found.waiting} wait"))


@webhooks.command
def resume(number: Number, /, *, session: Given) -> int:
    """Send what waits there, and what happens from now on."""
    from remsim.rest.webhooks import resume_webhook

    with session.rest.v2() as rest:
        found = rest.do(resume_webhook(number))
    return session.show(dumped(found), lambda: print(f"webhook {number} goes on; {found.waiting} waited"))


@webhooks.command
def log(number: Number, /, *, session: Given) -> int:
    """List what waits, and the last that ended, with what came of them."""
    from remsim.rest.webhooks import list_deliveries

    with session.rest.v2() as rest:
        found = list(rest.items(list_deliveries(number)))
    return session.show_list(found, tables.DELIVERIES, _delivery)


@webhooks.command
def test(number: Number, /, *, session: Given) -> int:
    """Send something there, behind what waits; exit status 1 if it does not arrive."""
    from remsim.rest.webhooks import test_webhook

    with session.rest.v2() as rest:
        found = rest.do(test_webhook(number))
    is_good = found.state == "delivered"
    if not is_good and not session.is_json:
        outcome = escape(found.outcome) or "it waits behind others"
        raise RemsimError(f"not delivered: {outcome}", hint=f"see remsim ctl webhooks log {number}")
    _show(session, found)
    return 0 if is_good else 1


def _show(session: CtlSession, found: "DeliveryModel") -> None:
    session.show(dumped(found), lambda: print(f"delivery {found.id}: {found.state}"))


def _read_secret(place: str) -> str:
    """The first line of a file, or of stdin. Raises ConfigError."""
    try:
        text = sys.stdin.readline() if place == "-" else read_text(Path(place))
    except (OSError, TextError) as error:
        raise ConfigError(f"{place} cannot be read: {reason_of(error)}") from None
    return text.rstrip("\r\n")


def _row(found: "WebhookModel") -> list[str]:
    state = "ok"
    if found.failing_since is not None:
        state = f"fails since {found.failing_since}"
    if found.paused_since is not None:
        state = f"paused since {found.paused_since}"
    kinds = "all" if found.kinds is None else ", ".join(found.kinds)
    return [str(found.id), found.url, kinds, str(found.waiting), state]


def _delivery(found: "DeliveryModel") -> list[str]:
    at = found.ended_at or found.tried_at or found.created_at
    return [str(found.id), found.kind, found.state, at, str(found.attempts), found.outcome]
