# SPDX-License-Identifier: Apache-2.0
"""``remsim server``: options of the server. What they mean is written in ``remsim.config.ServerConfig``.

``remsim server init`` makes what a new server needs. The first token's text is printed once, alone on stdout, so that
it can be kept in a variable, or written to a file for this user only; all else goes to stderr.
"""

import json as json_format
import sys
import time
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from remsim.cli.options import (
    NO_COMMON_OPTIONS,
    NO_DAEMON_OPTIONS,
    CommonOptions,
    DaemonOptions,
    Flag,
    command_app,
    repeatable,
    resolve,
)
from remsim.pki import files
from remsim.pki.credentials import Credentials

if TYPE_CHECKING:
    from remsim.config import ServerConfig
    from remsim.pki.bootstrap import BootstrapResult

app = command_app("server", "Run the server: mappings, RSPRO and REST.")


@app.default
def server(
    *,
    rspro: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    rest: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    state: Annotated[str | None, Parameter(metavar="DIR")] = None,
    database: Annotated[str | None, Parameter(metavar="URL")] = None,
    dial_bank: Annotated[tuple[str, ...], repeatable("HOST:PORT")] = (),
    client_id_pool: Annotated[str | None, Parameter(metavar="N-M")] = None,
    rest_open: Flag = None,
    policy: Annotated[str | None, Parameter(metavar="FILE.toml")] = None,
    listen_plaintext: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    daemon: DaemonOptions = NO_DAEMON_OPTIONS,
) -> int:
    """Run the server: mappings, RSPRO and REST.

    Parameters
    ----------
    rspro: str
        Listen here for clients and bankds (default: all addresses, port 9998).
    rest: str
        Serve REST here; by default at port 9997 of all addresses if over TLS, else of 127.0.0.1.
    state: str
        Keep the database here (default: $STATE_DIRECTORY, or ~/.local/state/remsim/server).
    database: str
        A PostgreSQL, as postgresql://USER@HOST/NAME, if not an SQLite file in the state directory.
    dial_bank: tuple[str, ...]
        Dial a bankd that cannot dial out; may be given several times.
    client_id_pool: str
        Assign IDs from this range to clients that have none, for example 900-999.
    rest_open: bool
        REST without a token, on a loopback address.
    policy: str
        Rules on who may use which card; without them, operators may map any card.
    listen_plaintext: str
        Also accept RSPRO over plain TCP here, for programs of the C suite.
    """
    from remsim.config import ServerConfig

    config = resolve(
        ServerConfig,
        daemon,
        rspro=rspro,
        rest=rest,
        state_dir=state,
        database=database,
        dial_bank=dial_bank,
        client_id_pool=client_id_pool,
        rest_open=rest_open,
        policy=policy,
        listen_plaintext=listen_plaintext,
    )
    # Only now: a mistake in the configuration shows without the server's libraries, and sooner.
    from remsim.server.service import serve

    return serve(config)


@app.command
def init(
    *,
    name: Annotated[str | None, Parameter(metavar="NAME")] = None,
    host: Annotated[tuple[str, ...], repeatable("HOST")] = (),
    token_name: Annotated[str | None, Parameter(metavar="NAME")] = None,
    to: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    state: Annotated[str | None, Parameter(metavar="DIR")] = None,
    database: Annotated[str | None, Parameter(metavar="URL")] = None,
    json: Flag = None,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """Create what a new server needs: an authority, the server's certificate, and the first access token.

    May be run again: what exists is kept. The token is that of an admin, and is printed once.

    Parameters
    ----------
    name: str
        The server's name in its certificate (default: the host name).
    host: tuple[str, ...]
        Name or address by which browsers reach the server; may be given several times.
    token_name: str
        Whose token it is: the audit log names it (default: the user who runs this).
    to: Path
        Write the token to this file, which only this user can read, instead of printing it. Must not exist.
    state: str
        The server's state directory (default: as remsim server).
    database: str
        The server's database, if it is not in the state directory.
    json: bool
        Print JSON, with the token in it, unless that is written to a file.
    """
    from remsim.config import CREDENTIALS_NAME, ServerConfig

    config = resolve(ServerConfig, common, state_dir=state, database=database)
    from remsim.pki.bootstrap import found_server
    from remsim.server.core.tokens import check_name
    from remsim.server.store.page_files import login_link
    from remsim.server.store.tokens import create_first_token, local_user

    holder = local_user() if token_name is None else token_name
    check_name(holder)
    files.make_private_directory(config.state_dir)
    credentials = Credentials(config.credentials_dir or config.state_dir / CREDENTIALS_NAME)
    made = found_server(config.authority_dir, credentials, name=name, hosts=host, now=time.time())
    token = create_first_token(config, name=holder, keep=None if to is None else partial(_keep, to))
    link = None if token is None else login_link(config, token[1].token_id)
    if json:
        shown = None if token is None or to is not None else token[0]
        print(json_format.dumps(_as_json(config, made) | {"token": shown, "link": link}, indent=2))
        return 0
    _tell(config, made)
    if token is None:
        print("there was a token already, and none was made; make more with: remsim token create", file=sys.stderr)
        return 0
    text, record = token
    use = "it is shown once: put it into REMSIM_TOKEN"
    if to is None:
        print(text)
    else:
        use = f'use it with: REMSIM_TOKEN="$(cat {quote(str(to))})"'
    print(f"token {record.token_id} (admin) for {holder}; {use}", file=sys.stderr)
    print(f"the page, to log in once, within ten minutes: {link}", file=sys.stderr)
    return 0


def _keep(path: Path, text: str) -> None:
    with files.create_private(path) as write:
        write(text)


def _tell(config: "ServerConfig", made: "BootstrapResult") -> None:
    facts = made.certificate
    if made.authority is None:
        lines = ["no authority was made: this server has a certificate of one elsewhere"]
    else:
        word = "created" if made.is_authority_new else "kept"
        lines = [f"authority {word} in {config.authority_dir}", f"SHA-256 {made.authority.fingerprint.hex()}"]
    kept = "" if made.is_certificate_new else " (kept)"
    lines.append(f"this server is {facts.identity}, until {facts.not_after.date().isoformat()}{kept}")
    if facts.not_after.timestamp() <= time.time():
        how = "enrol this host again" if made.authority is None else "remsim server renews it when it starts"
        lines.append(f"its certificate has expired: {how}")
    lines.append("next: remsim server; then a code for each bank and client: remsim pki code bank/1")
    print("\n".join(lines), file=sys.stderr)


def _as_json(config: "ServerConfig", made: "BootstrapResult") -> dict[str, object]:
    facts = made.certificate
    return {
        "directory": str(config.state_dir),
        "authority": None if made.authority is None else made.authority.fingerprint.hex(),
        "isAuthorityNew": made.is_authority_new,
        "server": {
            "identity": str(facts.identity),
            "serial": f"{facts.serial:x}",
            "expiresAt": facts.not_after.isoformat().replace("+00:00", "Z"),
        },
        "isServerNew": made.is_certificate_new,
    }
