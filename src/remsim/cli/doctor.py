# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor``: examine this host and print what is found. Exit status 1 if something is wrong."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from remsim.cli.options import Flag, command_app

app = command_app("doctor", "Find what is wrong with a host of clients, cards or the server, and how to fix it.")


def _option(metavar: str, text: str) -> Parameter:
    return Parameter(metavar=metavar, show_default=False, help=text)


@app.default
def doctor(
    role: Annotated[
        Literal["client", "bankd", "server"] | None,
        Parameter(show_default=False, help="Examine what this program needs; by default, what is configured here."),
    ] = None,
    /,
    *,
    config: Annotated[Path | None, _option("FILE.toml", "The program's configuration.")] = None,
    server: Annotated[str | None, _option("HOST:PORT", "The server, instead of the file's.")] = None,
    tls: Annotated[str | None, _option("DIR", "Directory of key and certificate, which must exist.")] = None,
    state: Annotated[str | None, _option("DIR", "The program's state directory.")] = None,
    vpcd: Annotated[str | None, _option("HOST:PORT", "Look for a virtual reader here.")] = None,
    rest: Annotated[str | None, _option("URL", "The server's REST interface, asked with REMSIM_TOKEN.")] = None,
    json: Annotated[Flag, Parameter(help="Print JSON.")] = None,
) -> int:
    """Examine this host: what its programs need, what is wrong, and how to fix it. Changes nothing."""
    # Help needs none of what the examination does.
    from remsim.cli.examination import examine_host
    from remsim.doctor.configuration import Given

    given = Given(server=server, vpcd=vpcd, tls=tls, state=state)
    return examine_host(given, role=role, config=config, rest=rest, is_json=bool(json))
