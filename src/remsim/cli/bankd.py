# SPDX-License-Identifier: Apache-2.0
"""``remsim bankd``: options of a bank. What they mean is written in ``remsim.config.BankdConfig``."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from remsim.cli.options import NO_DAEMON_OPTIONS, DaemonOptions, Flag, command_app, repeatable, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from remsim.config import BankdConfig

app = command_app("bankd", "Run a bank of SIM cards.")


@app.default
def bankd(
    *,
    server: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    bank_id: Annotated[str | None, Parameter(metavar="N")] = None,
    slots: Annotated[str | None, Parameter(metavar="N")] = None,
    listen: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    advertise: Annotated[tuple[str, ...], repeatable("HOST:PORT")] = (),
    state: Annotated[str | None, Parameter(metavar="DIR")] = None,
    csv: Annotated[str | None, Parameter(metavar="FILE")] = None,
    auto: Flag = None,
    reader: Annotated[str | None, Parameter(metavar="SOURCE")] = None,
    sim_profile: Annotated[str | None, Parameter(metavar="NAME")] = None,
    card_time_ms: Annotated[str | None, Parameter(metavar="MS")] = None,
    card_deadline_s: Annotated[str | None, Parameter(metavar="SECONDS")] = None,
    resume: Annotated[str | None, Parameter(metavar="WORD")] = None,
    ahead: Annotated[str | None, Parameter(metavar="WORD")] = None,
    gsmtap: Annotated[str | None, Parameter(metavar="HOST")] = None,
    gsmtap_slot: Annotated[str | None, Parameter(metavar="N")] = None,
    gsmtap_reveal: Flag = None,
    gsmtap_guesses: Flag = None,
    trace_dir: Annotated[str | None, Parameter(metavar="DIR")] = None,
    guard: Annotated[str | None, Parameter(metavar="FILE.toml")] = None,
    shared: Flag = None,
    read_numbers: Annotated[bool | None, Parameter(negative="--no-read-numbers", show_default=False)] = None,
    listen_plaintext: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    daemon: DaemonOptions = NO_DAEMON_OPTIONS,
) -> int:
    """Run a bank of SIM cards.

    Parameters
    ----------
    server: str
        The server (default: 127.0.0.1:9998).
    bank_id: str
        Number of this bank, 0..1023 (default: 1).
    slots: str
        Number of slots (default: 8).
    listen: str
        Listen here for clients (default: all addresses, port 9999).
    advertise: tuple[str, ...]
        Where clients reach this bank, if not at the address from which it dials the server; may be repeated.
    state: str
        Keep learned slots and software cards here.
    csv: str
        Classic CSV file: which reader belongs to which slot.
    auto: bool
        Find readers automatically, and remember their slots.
    reader: str
        Source of readers: pcscd, pcsc, or sim for software cards (default: pcscd, else pcsc).
    sim_profile: str
        Profile of the software cards.
    card_time_ms: str
        Time that a software card takes for a command, as real ones do (default: 0).
    card_deadline_s: str
        A card that does not answer for this long has failed (default: 60).
    resume: str
        Card sessions outlive their link: proven (default, those over TLS), always or off.
    ahead: str
        Answer commands ahead, for modems that are far away: on (default) or off.
    gsmtap: str
        Send GSMTAP to this host.
    gsmtap_slot: str
        Send GSMTAP of this slot only.
    gsmtap_reveal: bool
        Do not mask PINs, keys and identities in GSMTAP.
    gsmtap_guesses: bool
        Also send the commands that no modem has sent (--ahead), marked by their antenna number.
    trace_dir: str
        Keep captures of all slots here, for Wireshark; masked.
    guard: str
        Rules on which commands reach the cards.
    shared: bool
        Share the cards with other programs.
    read_numbers: bool
        Power each card up briefly, read its ICCID, and report it to the server (default: yes).
    listen_plaintext: str
        Also accept clients over plain TCP here, for programs of the C suite.
    """
    from remsim.config import BankdConfig

    read = partial(
        resolve,
        BankdConfig,
        daemon,
        server=server,
        bank_id=bank_id,
        slots=slots,
        listen=listen,
        advertise=advertise,
        state_dir=state,
        csv=csv,
        auto=auto,
        reader=reader,
        sim_profile=sim_profile,
        card_time_ms=card_time_ms,
        card_deadline_s=card_deadline_s,
        resume=resume,
        ahead=ahead,
        gsmtap=gsmtap,
        gsmtap_slot=gsmtap_slot,
        gsmtap_reveal=gsmtap_reveal,
        gsmtap_guesses=gsmtap_guesses,
        trace_dir=trace_dir,
        guard=guard,
        shared_access=shared,
        read_numbers=read_numbers,
        listen_plaintext=listen_plaintext,
    )
    return _serve(read)


def _serve(read: "Callable[[], BankdConfig]") -> int:
    config = read()
    # Only now: a mistake in the configuration shows without the bankd's libraries, and sooner.
    from remsim.bankd.service import serve

    return serve(config, read)


@app.command
def learn(
    *files: Annotated[
        Path, Parameter(metavar="FILE", help="Recorded starts of modems: JSON lines, or captures of GSMTAP.")
    ],
    state: Annotated[
        str | None, Parameter(metavar="DIR", help="State directory of the bank.", show_default=False)
    ] = None,
    bank_id: Annotated[
        str | None, Parameter(metavar="N", help="Number of the bank, for its usual directory.", show_default=False)
    ] = None,
    json: Annotated[Flag, Parameter(help="Report as JSON.")] = None,
) -> int:
    """Learn from recorded starts what modems send, for answers ahead (--ahead); the bank uses it at its next start."""
    from remsim.config import BankdConfig

    config = resolve(BankdConfig, NO_DAEMON_OPTIONS, state_dir=state, bank_id=bank_id)
    from remsim.bankd.learning import learn_files

    if not sys.stderr.isatty():
        return learn_files(files, config.state_dir, as_json=bool(json))
    # Only for a person who waits: it takes a tenth of a second to import.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        tasks = {path: bar.add_task(path.name, total=None) for path in files}

        def show(path: Path, done: int, size: int) -> None:
            bar.update(tasks[path], completed=done, total=size)

        return learn_files(files, config.state_dir, as_json=bool(json), progress=show)
