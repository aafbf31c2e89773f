# SPDX-License-Identifier: Apache-2.0
"""``remsim enroll``: get this host's certificate with a one-time code, or renew it now."""

import json as json_format
import os
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from remsim.cli.options import Flag, command_app
from remsim.config import default_state_dir
from remsim.core.identity import Identity, Role
from remsim.pki import enrol, files
from remsim.pki.codes import EnrolmentCode
from remsim.pki.credentials import DIRECTORY, Credentials
from remsim.pki.errors import EnrolmentError
from remsim.pki.facts import CertificateFacts
from remsim.pki.toolkit import OpensslToolkit, Toolkit, choose_toolkit

app = command_app("enroll", "Get a certificate for this host from the server, or renew it.")

#: A code is given in one line of less than 200 characters.
_MAX_LINE = 1000


@app.default
def enroll(
    url: str | None = None,
    code: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    state: Annotated[str | None, Parameter(metavar="DIR", show_default=False)] = None,
    renew: Flag = None,
    openssl: Flag = None,
    json: Flag = None,
) -> int:
    """Get a certificate for this host: the key is made here and never leaves it.

    Parameters
    ----------
    url: str
        The server's REST interface, https://HOST:PORT.
    code: str
        What `remsim pki code` printed on the server; - reads it from standard input, where no other user sees it.
    state: str
        State directory of the program that the certificate is for (default: that program's own).
    renew: bool
        Renew the certificate now. The programs renew it in time by themselves.
    openssl: bool
        Use the program openssl, even if the Python package cryptography is installed.
    json: bool
        Print JSON.
    """
    toolkit: Toolkit = OpensslToolkit() if openssl else choose_toolkit()
    if renew:
        return _renew(url, code, state, toolkit, is_json=bool(json))
    if url is None or code is None:
        raise EnrolmentError("URL and code are missing", hint="remsim enroll https://HOST:PORT - < FILE")
    given = EnrolmentCode.parse(sys.stdin.readline(_MAX_LINE) if code == "-" else code)
    folder = _state_directory(state, given.identity)
    files.check_owner(folder)
    credentials = Credentials(folder / DIRECTORY)
    if credentials.exist() and credentials.identity() != given.identity:
        raise EnrolmentError(
            f"{credentials.directory} holds the certificate of {credentials.identity()}",
            hint="give each identity a directory of its own with --state DIR",
        )
    facts = enrol.enroll(url, given, credentials, toolkit)
    return _tell(facts, credentials, "enrolled as", is_json=bool(json))


def _renew(url: str | None, code: str | None, state: str | None, toolkit: Toolkit, *, is_json: bool) -> int:
    if code is not None or state is None:
        raise EnrolmentError("renewal needs a directory and no code", hint="remsim enroll --renew --state DIR [URL]")
    credentials = Credentials(Path(state) / DIRECTORY)
    credentials.check()
    return _tell(enrol.renew(credentials, toolkit, url=url), credentials, "renewed as", is_json=is_json)


def _state_directory(state: str | None, identity: Identity) -> Path:
    given = state or os.environ.get("REMSIM_STATE_DIR")
    if given:
        return Path(given)
    name = f"bank-{identity.number}" if identity.role is Role.BANK else identity.role.value
    return default_state_dir(name, os.environ)


def _tell(facts: CertificateFacts, credentials: Credentials, words: str, *, is_json: bool) -> int:
    expires = facts.not_after.isoformat().replace("+00:00", "Z")
    if is_json:
        found = {"identity": str(facts.identity), "directory": str(credentials.directory), "expiresAt": expires}
        print(json_format.dumps(found, indent=2))
    else:
        days = (facts.not_after.timestamp() - time.time()) / 86400
        print(f"{words} {facts.identity} for {days:.0f} days; key and certificate are in {credentials.directory}")
    return 0
