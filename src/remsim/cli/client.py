# SPDX-License-Identifier: Apache-2.0
"""``remsim client``: options of the client commands. What they mean is written in ``remsim.config.ClientConfig``."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from remsim.cli.options import NO_DAEMON_OPTIONS, DaemonOptions, Flag, command_app, resolve

app = command_app("client", "Use a card of a bank.")

TraceDir = Annotated[
    str | None, Parameter(metavar="DIR", help="Keep captures of all slots here; masked.", show_default=False)
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ClientOptions(DaemonOptions):
    """What each client command takes."""

    server: Annotated[str | None, Parameter(metavar="HOST:PORT", help="The server (default: 127.0.0.1:9998).")] = None
    client: Annotated[
        str | None,
        Parameter(metavar="ID:SLOT", help="This client slot; without it, the server assigns one."),
    ] = None
    atr: Annotated[str | None, Parameter(metavar="HEX", help="ATR until the card has one (default: 3b00).")] = None
    atr_ignore_rspro: Annotated[Flag, Parameter(help="Keep the configured ATR; ignore the card's.")] = None
    event_script: Annotated[
        str | None, Parameter(metavar="COMMAND", help="Run this command at each event, with the cause as its argument.")
    ] = None
    card_wait_s: Annotated[
        str | None, Parameter(metavar="SECONDS", help="Give up if no card comes within this time (default: 30).")
    ] = None
    resume: Annotated[
        str | None,
        Parameter(
            metavar="WORD", help="Card sessions outlive their link: proven (default, those over TLS), always or off."
        ),
    ] = None
    ahead: Annotated[
        str | None,
        Parameter(metavar="WORD", help="Take answers that the bankd sends ahead: on (default) or off."),
    ] = None
    gsmtap: Annotated[str | None, Parameter(metavar="HOST", help="Send GSMTAP to this host; secrets are hidden.")] = (
        None
    )
    trace_dir: Annotated[
        str | None, Parameter(metavar="DIR", help="Keep captures here, for Wireshark; secrets are hidden.")
    ] = None


NO_CLIENT_OPTIONS: Final = ClientOptions()


@app.command
def shell(*, options: ClientOptions = NO_CLIENT_OPTIONS) -> int:
    """Type commands in hex and see the card's answers; without a terminal, the classic shell's lines."""
    from remsim.config import ClientConfig

    config = resolve(ClientConfig, options)
    from remsim.client.commands import shell as run_shell

    return run_shell(config)


@app.command
def script(
    file: Annotated[Path, Parameter(help="Recorded command sequence, JSON lines.", metavar="FILE")],
    /,
    *,
    literal: Annotated[Flag, Parameter(help="Send every command as recorded; do not follow the card's SW2.")] = None,
    json: Annotated[Flag, Parameter(help="Report as JSON.")] = None,
    repeat: Annotated[int, Parameter(help="Play it this many times.", metavar="N")] = 1,
    check: Annotated[Flag, Parameter(help="Fail if a status word or length is not as recorded.")] = None,
    dump: Annotated[
        Path | None, Parameter(help="Write commands and answers to this file, JSON lines.", metavar="FILE")
    ] = None,
    options: ClientOptions = NO_CLIENT_OPTIONS,
) -> int:
    """Play a recorded command sequence and report the timing per kind of command."""
    from remsim.config import ClientConfig

    config = resolve(ClientConfig, options)
    from remsim.client.commands import script as run_script

    return run_script(
        config, file, literal=bool(literal), as_json=bool(json), repeat=repeat, check=bool(check), dump=dump
    )


@app.command
def vpcd(
    *,
    vpcd: Annotated[
        str | None,
        Parameter(
            metavar="HOST:PORT", help="Where vpcd waits for a card (default: 127.0.0.1:35963, its first reader)."
        ),
    ] = None,
    auto_get_response: Annotated[
        Flag, Parameter(help="Follow 61xx and 6Cxx here, for programs that expect a reader at APDU level.")
    ] = None,
    answer_timeout_s: Annotated[
        str | None,
        Parameter(metavar="SECONDS", help="Give up a command that has no answer within this time (default: 65)."),
    ] = None,
    options: ClientOptions = NO_CLIENT_OPTIONS,
) -> int:
    """Put the bank's card into a virtual PC/SC reader, for the PC/SC programs of this host."""
    from remsim.config import ClientVpcdConfig

    read = partial(
        resolve,
        ClientVpcdConfig,
        options,
        vpcd=vpcd,
        auto_get_response=auto_get_response,
        answer_timeout_s=answer_timeout_s,
    )
    config = read()
    from remsim.client.commands import vpcd as run_vpcd

    return run_vpcd(config, read)


@app.command
def run(
    *,
    server: Annotated[
        str | None, Parameter(metavar="HOST:PORT", help="The server (default: 127.0.0.1:9998).", show_default=False)
    ] = None,
    auto: Annotated[Flag, Parameter(help="Also serve every card-emulation interface that is plugged in.")] = None,
    auto_client: Annotated[
        str | None,
        Parameter(metavar="ID:SLOT", help="Client slot of the first interface that --auto finds.", show_default=False),
    ] = None,
    command_cases: Annotated[
        str | None,
        Parameter(
            metavar="CASES",
            help="Direction of commands' data: CLA[/MASK] INS [P1] = CASE, separated by commas.",
            show_default=False,
        ),
    ] = None,
    unknown_commands: Annotated[
        str | None,
        Parameter(metavar="WORD", help="Refuse (default) or receive unknown commands.", show_default=False),
    ] = None,
    resume: Annotated[
        str | None,
        Parameter(
            metavar="WORD",
            help="Card sessions outlive their link: proven (default, those over TLS), always or off.",
            show_default=False,
        ),
    ] = None,
    ahead: Annotated[
        str | None,
        Parameter(
            metavar="WORD", help="Take answers that the bankd sends ahead: on (default) or off.", show_default=False
        ),
    ] = None,
    gsmtap: Annotated[str | None, Parameter(metavar="HOST", help="Send GSMTAP; masked.", show_default=False)] = None,
    trace_dir: TraceDir = None,
    options: DaemonOptions = NO_DAEMON_OPTIONS,
) -> int:
    """Serve all client slots of this host: the [[slot]] tables of the configuration file."""
    from remsim.config import ClientRunConfig

    read = partial(
        resolve,
        ClientRunConfig,
        options,
        server=server,
        auto=auto,
        auto_client=auto_client,
        command_cases=command_cases,
        unknown_commands=unknown_commands,
        resume=resume,
        ahead=ahead,
        gsmtap=gsmtap,
        trace_dir=trace_dir,
    )
    from remsim.client.commands import run as run_slots

    return run_slots(read(), read)
