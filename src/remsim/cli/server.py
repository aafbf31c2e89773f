# SPDX-License-Identifier: Apache-2.0
"""``remsim server``: options of the server. What they mean is written in ``remsim.config.ServerConfig``."""

from typing import Annotated

from cyclopts import Parameter

from remsim.cli.options import NO_DAEMON_OPTIONS, DaemonOptions, Flag, repeatable, resolve, verb_app
from remsim.config import ServerConfig

app = verb_app("server", "Run the server: mappings, RSPRO and REST.")


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
        SQLAlchemy URL, if not an SQLite file in the state directory.
    dial_bank: tuple[str, ...]
        Dial a bankd that cannot dial out; may be given several times.
    client_id_pool: str
        Give numbers from here to clients that have none, for example 900-999.
    rest_open: bool
        REST without a token, on a loopback address.
    policy: str
        Rules on who may use which card; without them, whatever the operator maps.
    listen_plaintext: str
        Take RSPRO over plain TCP here, too, for programs of the C suite.
    """
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
