# SPDX-License-Identifier: Apache-2.0
"""``remsim pki``: the authority beside a server. It works on the authority's directory, with or without the server."""

import json as json_module
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from remsim.cli.options import NO_COMMON_OPTIONS, CommonOptions, Flag, resolve, verb_app
from remsim.config import CREDENTIALS_NAME, ServerConfig
from remsim.errors import ConfigError
from remsim.identity import Identity

if TYPE_CHECKING:
    from remsim.pki.authority import Authority
    from remsim.pki.ledger import Issued

app = verb_app("pki", "The authority beside a server: create it, give out codes and certificates, revoke them.")

_State = Annotated[str | None, Parameter(metavar="DIR", help="The server's state directory.")]
#: PEM files of a few kilobytes; the certificate goes where the key is.
_Out = Annotated[Path, Parameter(metavar="DIR", help="Write key, certificate and list to this new directory.")]


def _config(common: CommonOptions, state: str | None) -> ServerConfig:
    return resolve(ServerConfig, common, state_dir=state)


def _open(config: ServerConfig) -> "Authority":
    from remsim.pki.authority import Authority

    return Authority(config.authority_dir)


@app.command
def init(
    *,
    name: Annotated[str | None, Parameter(metavar="NAME")] = None,
    state: _State = None,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """Create an authority, and the certificate of the server that is started with the same state directory.

    Parameters
    ----------
    name: str
        Name of the server in its certificate (default: the host name).
    """
    config = _config(common, state)
    from remsim.pki.authority import Authority
    from remsim.pki.credentials import Credentials
    from remsim.server.house import issue_to_self

    server = Identity.server(name or _host_name())
    config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    now = time.time()
    authority = Authority.create(config.authority_dir, name=server.name, now=now)
    credentials = Credentials(config.credentials_dir or config.state_dir / CREDENTIALS_NAME)
    issue_to_self(authority, credentials, server, now=now)
    sys.stdout.write(f"authority in {config.authority_dir}, certificate of {server} in {credentials.directory}\n")
    sys.stdout.write("next: remsim server; then for each bank and client: remsim pki code bank/1\n")
    return 0


def _host_name() -> str:
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "-" for c in socket.gethostname())
    return cleaned[:63].strip(".-_") or "server"


@app.command
def code(identity: str, /, *, state: _State = None, common: CommonOptions = NO_COMMON_OPTIONS) -> int:
    """Make a one-time code for bank/N, client/N, client/N/SLOT or server/NAME: good once, for an hour.

    Run ``remsim enroll URL CODE`` with it on the host that is to get the certificate.
    """
    made = _open(_config(common, state)).make_code(Identity.parse(identity), now=time.time())
    sys.stdout.write(f"{made.to_text()}\n")
    return 0


@app.command
def issue(identity: str, /, *, out: _Out, state: _State = None, common: CommonOptions = NO_COMMON_OPTIONS) -> int:
    """Make key and certificate here, for a host that cannot enrol. The key travels: enrolment is better."""
    wanted = Identity.parse(identity)
    authority = _open(_config(common, state))
    from remsim.pki.credentials import Credentials
    from remsim.server.house import issue_to_self

    credentials = Credentials(out)
    if credentials.exist():
        raise ConfigError(f"{out} has a certificate already", hint="renew it with: remsim pki renew")
    issue_to_self(authority, credentials, wanted, now=time.time())
    sys.stdout.write(f"certificate of {wanted} in {out}\n")
    return 0


@app.command
def renew(*, out: _Out, state: _State = None, common: CommonOptions = NO_COMMON_OPTIONS) -> int:
    """Replace key and certificate in a directory that ``remsim pki issue`` has made."""
    authority = _open(_config(common, state))
    from remsim.pki.credentials import Credentials
    from remsim.server.house import issue_to_self

    credentials = Credentials(out)
    issue_to_self(authority, credentials, credentials.identity(), now=time.time())
    sys.stdout.write(f"new certificate of {credentials.identity()} in {out}\n")
    return 0


@app.command
def revoke(
    what: str,
    /,
    *,
    reason: Annotated[str, Parameter(metavar="TEXT")] = "",
    state: _State = None,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """Revoke all certificates of an identity (bank/1), or one by its serial number as ``remsim pki show`` has it."""
    authority = _open(_config(common, state))
    now = time.time()
    if "/" in what:
        serials = [issued.serial for issued in authority.issued_to(Identity.parse(what)) if issued.is_valid(now)]
        if not serials:
            raise ConfigError(f"{what} has no valid certificate", hint="see remsim pki show")
    else:
        serials = [_serial(what)]
    for issued in authority.revoke(serials, now=now, reason=reason):
        sys.stdout.write(f"revoked {issued.identity} {issued.serial:x}\n")
    return 0


def _serial(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        hint = "write bank/1, or a serial number in hex"
        raise ConfigError(f"{text!r} is neither an identity nor a serial number", hint=hint) from None


@app.command
def show(*, json: Flag = None, state: _State = None, common: CommonOptions = NO_COMMON_OPTIONS) -> int:
    """List every certificate that was issued."""
    authority = _open(_config(common, state))
    now = time.time()
    rows = [_row(issued, now) for issued in authority.issued()]
    if json:
        sys.stdout.write(json_module.dumps({"fingerprint": authority.fingerprint.hex(), "issued": rows}) + "\n")
        return 0
    sys.stdout.write(f"authority {authority.fingerprint.hex()}\n")
    for row in rows:
        sys.stdout.write(f"{row['identity']:16} {row['state']:8} until {row['expires']}  {row['serial']}\n")
    return 0


def _row(issued: "Issued", now: float) -> dict[str, str]:
    state = "revoked" if issued.revoked_at is not None else "valid" if issued.is_valid(now) else "expired"
    expires = datetime.fromtimestamp(issued.expires_at, UTC).strftime("%Y-%m-%d")
    return {"identity": str(issued.identity), "state": state, "expires": expires, "serial": f"{issued.serial:x}"}
