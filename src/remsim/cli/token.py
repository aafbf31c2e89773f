# SPDX-License-Identifier: Apache-2.0
"""``remsim token``: who may use the server's REST interface. Works on the server's database, on the server's host.

A token's text is printed once, alone on stdout, so that it can be kept in a variable, or written to a file for this
user only; all else goes to stderr.
"""

import contextlib
import json as json_module
import sys
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from remsim.cli.options import NO_COMMON_OPTIONS, CommonOptions, Flag, command_app, resolve
from remsim.policy.fields import parse_numbers

if TYPE_CHECKING:
    from remsim.config import ServerConfig
    from remsim.server.core.tokens import StoredToken

app = command_app("token", "Make, list and revoke access tokens for the server's REST interface.")

_DAY_S: Final = 86400.0
_State = Annotated[str | None, Parameter(metavar="DIR", help="The server's state directory.")]
_Database = Annotated[
    str | None, Parameter(metavar="URL", help="The server's database, if it is not in the state directory.")
]


def _config(common: CommonOptions, state: str | None, database: str | None) -> "ServerConfig":
    from remsim.config import ServerConfig

    return resolve(ServerConfig, common, state_dir=state, database=database)


@app.command
def create(
    name: str,
    /,
    *,
    role: str = "operator",
    banks: Annotated[str | None, Parameter(metavar="N,N-M")] = None,
    clients: Annotated[str | None, Parameter(metavar="N,N-M")] = None,
    days: Annotated[float | None, Parameter(metavar="DAYS")] = None,
    to: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    link: Flag = None,
    state: _State = None,
    database: _Database = None,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """Make a token and print it. It is shown once; the database keeps no more than a hash of it.

    Parameters
    ----------
    name: str
        Whose token it is: a person or a program. The audit log names it.
    role: str
        viewer (look), operator (map, unmap, reset) or admin (audit log, too).
    banks: str
        Limit it to these banks.
    clients: str
        Limit it to these clients.
    days: float
        Let it expire after this many days.
    to: Path
        Write it to this file, which only this user can read, instead of printing it. Must not exist.
    link: bool
        Print a link, too, which logs in to the server's page once, within ten minutes.
    """
    from remsim.pki.files import create_private
    from remsim.server.core.tokens import Scope, TokenRole
    from remsim.server.store.page_files import login_link
    from remsim.server.store.tokens import create_token

    scope = Scope(_numbers(banks), _numbers(clients))
    lifetime_s = None if days is None else days * _DAY_S
    config = _config(common, state, database)
    with contextlib.ExitStack() as stack:
        # The file first: a token that could not be written would be one that nobody has.
        write = print if to is None else stack.enter_context(create_private(to))
        text, record = create_token(
            config, name=name, role=TokenRole.parse(role), scope=scope, lifetime_s=lifetime_s, may_create=False
        )
        write(text)
    made = f"token {record.token_id} ({record.role.text}) for {name}"
    use = (
        "it is not shown again: put it into REMSIM_TOKEN"
        if to is None
        else f'use it with: REMSIM_TOKEN="$(cat {quote(str(to))})"'
    )
    print(f"{made}; {use}", file=sys.stderr)
    if link:
        print(f"log in to the page, once, within ten minutes: {login_link(config, record.token_id)}", file=sys.stderr)
    return 0


@app.command(name="list")
def list_all(
    *,
    json: Annotated[Flag, Parameter(help="Print JSON.")] = None,
    state: _State = None,
    database: _Database = None,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """List all tokens, revoked ones included."""
    from remsim.server.store.tokens import list_tokens

    tokens = list_tokens(_config(common, state, database))
    if json:
        print(json_module.dumps([_shown(token) for token in tokens], indent=2))
        return 0
    for token in tokens:
        shown = _shown(token)
        scope = f"banks {_listed(token.scope.banks)}, clients {_listed(token.scope.clients)}"
        print(f"{token.token_id}  {token.role.text:<8}  {shown['state']:<8}  {scope}  {token.name}")
    return 0


@app.command
def revoke(
    token_id: str,
    /,
    *,
    keep_leases: Flag = None,
    state: _State = None,
    database: _Database = None,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """Revoke the token with this ID; the server refuses it from its next request on, and ends its leases.

    Parameters
    ----------
    token_id: str
        As remsim token list shows it.
    keep_leases: bool
        Let the leases that were taken by it go on until their time is over.
    """
    from remsim.server.store.tokens import revoke_token

    record = revoke_token(_config(common, state, database), token_id, keeps_leases=bool(keep_leases))
    print(f"revoked {record.token_id} of {record.name}")
    return 0


def _numbers(text: str | None) -> frozenset[int] | None:
    if text is None:
        return None
    ranges = [parse_numbers(part.strip()) for part in text.split(",")]
    return frozenset(number for one in ranges for number in range(one.first, one.last + 1))


def _listed(numbers: frozenset[int] | None) -> str:
    return "all" if numbers is None else ",".join(str(number) for number in sorted(numbers))


def _shown(token: "StoredToken") -> dict[str, object]:
    now = datetime.now(UTC).timestamp()
    is_expired = token.expires_at is not None and now >= token.expires_at
    return {
        "id": token.token_id,
        "name": token.name,
        "role": token.role.text,
        "banks": None if token.scope.banks is None else sorted(token.scope.banks),
        "clients": None if token.scope.clients is None else sorted(token.scope.clients),
        "createdAt": _time(token.created_at),
        "expiresAt": _time(token.expires_at),
        "revokedAt": _time(token.revoked_at),
        "state": "revoked" if token.revoked_at is not None else "expired" if is_expired else "valid",
    }


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
