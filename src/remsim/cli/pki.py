# SPDX-License-Identifier: Apache-2.0
"""``remsim pki``: the authority of an installation, on the server's host.

Certificates live in the server's state directory: the authority in ``ca``, what the server itself shows in ``tls``.
"""

import contextlib
import json as json_format
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from remsim.cli.options import Flag, command_app, repeatable
from remsim.config import AUTHORITY_NAME, REST_PORT, default_state_dir
from remsim.core.identity import Identity, IdentityError
from remsim.pki import files
from remsim.pki.clock import check_dates
from remsim.pki.codes import LIFETIME_S, TRIES
from remsim.pki.credentials import DIRECTORY, Credentials
from remsim.pki.errors import AuthorityError
from remsim.pki.facts import decode_pem, read_certificate

if TYPE_CHECKING:
    from remsim.pki.authority import Authority
    from remsim.pki.ledger import Issued

app = command_app("pki", "Create an authority, issue, renew and revoke certificates, make enrolment codes.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PkiOptions:
    """What every command takes."""

    state: Annotated[
        str | None,
        Parameter(metavar="DIR", show_default=False, help="The server's state directory (default: as remsim server)."),
    ] = None
    json: Annotated[Flag, Parameter(help="Print JSON.")] = None

    @property
    def directory(self) -> Path:
        """The server's state directory."""
        given = self.state or os.environ.get("REMSIM_STATE_DIR")
        return Path(given) if given else default_state_dir("server", os.environ)

    def authority(self) -> "Authority":
        """The authority. Raises PkiError."""
        # Brings cryptography, which help does not need.
        from remsim.pki.authority import Authority

        return Authority(self.directory / AUTHORITY_NAME, is_clock_watched=True)

    def show(self, value: object, *lines: str) -> int:
        """Print ``value`` as JSON, or the lines."""
        print(json_format.dumps(value, indent=2) if self.json else "\n".join(lines))
        return 0


_NO_OPTIONS: Final = PkiOptions()


@app.command
def init(
    *,
    name: Annotated[str | None, Parameter(metavar="NAME")] = None,
    host: Annotated[tuple[str, ...], repeatable("HOST")] = (),
    options: PkiOptions = _NO_OPTIONS,
) -> int:
    """Create the authority, and the server's own certificate.

    Parameters
    ----------
    name: str
        The server's name in its certificate (default: the host name).
    host: tuple[str, ...]
        Name or address by which browsers reach the server; may be given several times.
    """
    from remsim.pki import signing
    from remsim.pki.authority import Authority
    from remsim.pki.bootstrap import host_name, issue_here, own_hosts

    identity = Identity.server(name or host_name())
    signing.check_hosts(host)
    files.make_private_directory(options.directory)
    authority = Authority.create(options.directory / AUTHORITY_NAME, name=identity.name, now=time.time())
    credentials = Credentials(options.directory / DIRECTORY)
    issued = issue_here(authority, identity, credentials, now=time.time(), hosts=host or own_hosts())
    return options.show(
        {"authority": authority.fingerprint.hex(), "directory": str(options.directory), "server": _object(issued)},
        f"authority created in {options.directory / AUTHORITY_NAME}",
        f"SHA-256 {authority.fingerprint.hex()}",
        f"this server is {identity}, until {_day(issued.expires_at)}",
    )


@app.command
def issue(
    identity: str,
    /,
    *,
    out: Annotated[str | None, Parameter(metavar="DIR")] = None,
    request: Annotated[str | None, Parameter(metavar="FILE")] = None,
    host: Annotated[tuple[str, ...], repeatable("HOST")] = (),
    options: PkiOptions = _NO_OPTIONS,
) -> int:
    """Issue a certificate by hand: bank/1, client/23, client/23/0 or server/NAME.

    Where the new host can reach the server, enrolment is better: its key never leaves it.

    Parameters
    ----------
    identity: str
        Whom the certificate is for.
    out: str
        Make a key, too, and put everything into this directory, to be moved to the host as its "tls" directory.
    request: str
        Certify the key of this request (PKCS #10, PEM) and print the certificate.
    host: tuple[str, ...]
        For a server: name or address by which browsers reach it; may be given several times.
    """
    from remsim.pki.bootstrap import issue_here

    if (out is None) == (request is None):
        raise AuthorityError("give either --out DIR or --request FILE", hint="or use: remsim pki code, remsim enroll")
    authority, holder = options.authority(), Identity.parse(identity)
    if request is not None:
        issued = authority.issue(holder, files.read_public(Path(request)), now=time.time(), hosts=host)
        return options.show(_object(issued) | {"certificate": issued.pem.decode()}, issued.pem.decode().rstrip())
    directory = Path(str(out))
    issued = issue_here(authority, holder, Credentials(directory), now=time.time(), hosts=host)
    return options.show(_object(issued), f"{holder} until {_day(issued.expires_at)}, in {directory}")


@app.command
def renew(
    identity: str,
    /,
    *,
    out: Annotated[str | None, Parameter(metavar="DIR")] = None,
    host: Annotated[tuple[str, ...], repeatable("HOST")] = (),
    options: PkiOptions = _NO_OPTIONS,
) -> int:
    """Replace the key and certificate of an identity; enrolled hosts renew by themselves.

    Parameters
    ----------
    identity: str
        Whose certificate it is.
    out: str
        The directory to replace (default, for this server only: its own).
    host: tuple[str, ...]
        As for issue (default: those of the certificate that is replaced).
    """
    from remsim.pki.bootstrap import issue_here

    authority, holder = options.authority(), Identity.parse(identity)
    valid = [entry for entry in authority.issued_to(holder) if entry.is_valid(time.time())]
    if not valid:
        raise AuthorityError(f"{holder} has no valid certificate", hint=f"use: remsim pki issue {holder}")
    own = Credentials(options.directory / DIRECTORY)
    if out is None and not (own.exist() and own.identity() == holder):
        raise AuthorityError(f"{holder} is not this server", hint="name a directory with --out DIR")
    credentials = own if out is None else Credentials(Path(out))
    hosts = host or read_certificate(decode_pem(valid[-1].pem)[0]).hosts
    issued = issue_here(authority, holder, credentials, now=time.time(), hosts=hosts)
    return options.show(_object(issued), f"{holder} until {_day(issued.expires_at)}, in {credentials.directory}")


@app.command
def revoke(
    which: str,
    /,
    *,
    reason: Annotated[str, Parameter(metavar="TEXT", show_default=False)] = "",
    options: PkiOptions = _NO_OPTIONS,
) -> int:
    """Revoke all certificates of an identity, or the one with a serial number; effective within a minute.

    Codes that were made for the identity end, too.

    Parameters
    ----------
    which: str
        bank/1 and the like, or the serial number in hex as `remsim pki show` prints it.
    reason: str
        For the record.
    """
    authority, now = options.authority(), time.time()
    revoked = _revoke(authority, which, now, reason)
    return options.show(
        {"revoked": [_object(entry) for entry in revoked]},
        *(f"revoked {entry.serial:x} of {entry.identity}" for entry in revoked),
    )


@app.command
def show(
    identity: str | None = None,
    /,
    *,
    authority: Annotated[Flag, Parameter(help="Print the authority's certificate (PEM); see remsim ctl.")] = None,
    options: PkiOptions = _NO_OPTIONS,
) -> int:
    """List the certificates that were issued, or those of one identity."""
    ca = options.authority()
    _warn_of_dates(ca, Credentials(options.directory / DIRECTORY))
    if authority:
        return _show_authority(ca, options)
    issued = ca.issued() if identity is None else ca.issued_to(Identity.parse(identity))
    if options.json:
        return options.show({"authority": ca.fingerprint.hex(), "issued": [_object(entry) for entry in issued]})
    _print_table(issued)
    return 0


def _warn_of_dates(authority: "Authority", own: Credentials) -> None:
    """Say on standard error what is wrong with the clock, and with the dates of list, certificate and authority."""
    findings = check_dates(
        time.time(),
        record=authority.clock_record(),
        revocations=authority.revocations(),
        certificate=own.certificate() if own.exist() else None,
        authority=authority.facts,
    )
    for finding in findings:
        print(f"warning: {finding.text}; hint: {finding.hint}", file=sys.stderr)


@app.command
def extend(*, options: PkiOptions = _NO_OPTIONS) -> int:
    """Renew the authority's own certificate for ten years, with the same key.

    No host has to enrol again. What was issued stays valid, a running server takes the new certificate within a
    minute, and other hosts get it with their next renewal, within sixty days. Do this before the old certificate has
    less than that left.
    """
    authority = options.authority()
    before, fingerprint = authority.facts.not_after, authority.fingerprint
    authority.extend(time.time())
    until = authority.facts.not_after
    return options.show(
        {
            "authority": authority.fingerprint.hex(),
            "before": fingerprint.hex(),
            "expiresAt": _moment(until.timestamp()),
        },
        f"authority extended from {_day(before.timestamp())} to {_day(until.timestamp())}",
        f"SHA-256 {authority.fingerprint.hex()}",
    )


def _show_authority(authority: "Authority", options: PkiOptions) -> int:
    """The certificate goes to stdout alone, so that it can be kept in a file."""
    pem = authority.certificate.decode()
    if not options.json:
        print(f"SHA-256 {authority.fingerprint.hex()}", file=sys.stderr)
    return options.show({"authority": authority.fingerprint.hex(), "certificate": pem}, pem.rstrip())


@app.command
def code(
    identity: str,
    /,
    *,
    to: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    options: PkiOptions = _NO_OPTIONS,
) -> int:
    """Make a one-time code by which a new host gets its certificate: bank/1, client/23, client/23/0.

    Parameters
    ----------
    to: Path
        Write it to this file, which only this user can read, instead of printing it. Must not exist.
    """
    with contextlib.ExitStack() as stack:
        # The file first: a code that could not be written would be one that nobody has.
        write = None if to is None else stack.enter_context(files.create_private(to))
        made = options.authority().make_code(Identity.parse(identity), now=time.time())
        text = made.to_text()
        if write is not None:
            write(text)
    if not options.json:
        print(
            f"good once, for {LIFETIME_S / 60:.0f} minutes, {TRIES} tries; on the new host: "
            f"remsim enroll https://THIS-SERVER:{REST_PORT} -, which reads the code",
            file=sys.stderr,
        )
    found: dict[str, object] = {"identity": str(made.identity), "lifetime_s": LIFETIME_S}
    if to is None:
        return options.show(found | {"code": text}, text)
    return options.show(found) if options.json else 0


def _revoke(authority: "Authority", which: str, now: float, reason: str) -> "list[Issued]":
    try:
        identity = Identity.parse(which)
    except IdentityError as error:
        try:
            serial = int(which, 16)
        except ValueError:
            raise IdentityError(f"{which!r} is neither an identity nor a serial number", hint=error.hint) from None
        return authority.revoke([serial], now=now, reason=reason)
    revoked = authority.revoke_identity(identity, now=now, reason=reason)
    if not revoked:
        text = f"{identity} has no valid certificate; its codes are withdrawn, if there were any"
        raise AuthorityError(text, hint="see remsim pki show")
    return revoked


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _day(seconds: float) -> str:
    return _moment(seconds).partition("T")[0]


def _state(entry: "Issued") -> str:
    if entry.revoked_at is not None:
        return "revoked"
    return "valid" if entry.is_valid(time.time()) else "expired"


def _object(entry: "Issued") -> dict[str, object]:
    found: dict[str, object] = {
        "identity": str(entry.identity),
        "serial": f"{entry.serial:x}",
        "state": _state(entry),
        "issuedAt": _moment(entry.issued_at),
        "expiresAt": _moment(entry.expires_at),
    }
    if entry.revoked_at is not None:
        found |= {"revokedAt": _moment(entry.revoked_at), "reason": entry.reason}
    return found


def _print_table(issued: "Sequence[Issued]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else 500, highlight=False)
    if not issued:
        console.print("nothing was issued yet", style="dim")
        return
    table = Table(box=SIMPLE_HEAD if is_terminal else None, pad_edge=False, header_style="bold")
    for column in ("IDENTITY", "STATE", "EXPIRES", "SERIAL", "REASON"):
        table.add_column(column, no_wrap=True)
    for entry in issued:
        table.add_row(str(entry.identity), _state(entry), _day(entry.expires_at), f"{entry.serial:x}", entry.reason)
    console.print(table, markup=False)
