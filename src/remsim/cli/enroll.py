# SPDX-License-Identifier: Apache-2.0
"""``remsim enroll``: get this host a certificate with a one-time code, or a new one before the old one expires."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from remsim.cli.options import NO_COMMON_OPTIONS, CommonOptions, Flag, resolve, verb_app
from remsim.config import BankdConfig, ClientConfig, DaemonConfig, ServerConfig
from remsim.errors import ConfigError
from remsim.identity import Identity, Role

app = verb_app("enroll", "Get this host a certificate, with a one-time code of the server's operator.")


@app.default
def enroll(
    url: Annotated[str | None, Parameter(metavar="URL")] = None,
    code: Annotated[str | None, Parameter(metavar="CODE")] = None,
    /,
    *,
    state: Annotated[str | None, Parameter(metavar="DIR")] = None,
    tls: Annotated[str | None, Parameter(metavar="DIR")] = None,
    renew: Flag = None,
    common: CommonOptions = NO_COMMON_OPTIONS,
) -> int:
    """Get this host a certificate. The key is made here and stays here; running programs renew it by themselves.

    Parameters
    ----------
    url: str
        The server's REST interface, https://HOST:9997.
    code: str
        What ``remsim pki code`` printed on the server; without it, the first line of standard input.
    state: str
        State directory of the program that the certificate is for; its subdirectory tls is used.
    tls: str
        Keep key and certificate in this directory.
    renew: bool
        Renew the certificate that is there, without a code.
    """
    from remsim.pki.codes import Code
    from remsim.pki.credentials import Credentials
    from remsim.pki.enrol import enroll as ask
    from remsim.pki.enrol import renew as ask_again
    from remsim.pki.toolkit import choose_toolkit

    if renew:
        if tls is None and state is None:
            raise ConfigError("renewal needs a directory", hint="name it with --tls DIR or --state DIR")
        credentials = Credentials(Path(tls) if tls is not None else Path(state or "", "tls"))
        facts = ask_again(credentials, choose_toolkit(), url=url)
    else:
        if url is None:
            raise ConfigError(
                "enrolment needs the server's URL and a code", hint="remsim enroll https://HOST:9997 CODE"
            )
        read = Code.parse(sys.stdin.readline() if code is None else code)
        credentials = Credentials(_directory(read.identity, common, state, tls))
        facts = ask(url, read, credentials, choose_toolkit())
    sys.stdout.write(f"{facts.identity}: certificate in {credentials.directory}, until {facts.not_after:%Y-%m-%d}\n")
    return 0


def _directory(identity: Identity, common: CommonOptions, state: str | None, tls: str | None) -> Path:
    """Where the program that this identity is for will look."""
    if tls is not None:
        return Path(tls)
    if state is not None:
        return Path(state, "tls")
    config: DaemonConfig
    if identity.role is Role.BANK:
        # Whatever REMSIM_BANK_ID says: the certificate is for this bank.
        config = resolve(BankdConfig, common, bank_id=str(identity.number))
    elif identity.role is Role.SERVER:
        config = resolve(ServerConfig, common)
    else:
        config = resolve(ClientConfig, common)
    if config.credentials_dir is None:
        raise ConfigError("there is no home directory to keep the certificate in", hint="name one with --tls DIR")
    return config.credentials_dir
