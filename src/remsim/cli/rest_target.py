# SPDX-License-Identifier: Apache-2.0
"""Where the command-line tools find a server's REST interface, and by whose word they believe that it is one.

A server with certificates serves https only. On its own host everything is found by itself: the authority is in the
state directory. Elsewhere the operator names a copy of it; without one, https goes by what the system trusts.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from os import R_OK, access
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from remsim.cli.rest_client import RestClient, base_url
from remsim.config import CREDENTIALS_NAME, REST_PORT, CtlConfig, HostPort, ServerConfig, default_state_dir
from remsim.core.errors import ConfigError
from remsim.net.runtime.report import say_error
from remsim.pki import files
from remsim.pki.credentials import Credentials
from remsim.pki.errors import PkiError
from remsim.pki.facts import decode_pem
from remsim.pki.server_tls import server_context

_HERE: Final = HostPort("127.0.0.1", REST_PORT)


@dataclass(frozen=True, slots=True)
class RestTarget:
    """A base URL; and for https, the file of the authority whose server it must be, None: whom the system trusts."""

    base: str
    authority: Path | None = None

    @classmethod
    def of(cls, config: CtlConfig, environ: Mapping[str, str]) -> Self:
        """What the settings mean on this host. Raises ConfigError."""
        if config.rest is not None and "://" in config.rest:
            base, address = base_url(config.rest), _address(config.rest)
            if not base.startswith("https:"):
                return cls(base)
        else:
            address = _HERE if config.rest is None else HostPort.parse(config.rest, default_port=REST_PORT)
            base = ""
        authority = config.authority
        if authority is None and address.is_loopback:
            authority = authority_here(environ)
        return cls(base or f"{'http' if authority is None else 'https'}://{address}", authority)

    def reveals_token(self) -> bool:
        """Whether a token would pass over a network in clear."""
        return self.base.startswith("http:") and not _address(self.base).is_loopback

    def context(self) -> ssl.SSLContext | None:
        """The context for https by our own authority, None without one. Raises ConfigError."""
        if self.authority is None:
            return None
        # A host that has enrolled has the list beside it, kept fresh by its program.
        revocations = Credentials(self.authority.parent).revocations_file
        try:
            pem = files.read_public(self.authority)
            decode_pem(pem)
            return server_context(pem, revocations if revocations.exists() else None)
        except PkiError as error:
            raise ConfigError(
                f"the authority {self.authority} cannot be used: {error}",
                hint="print it on the server's host with: remsim pki show --authority",
            ) from None


def open_rest(config: CtlConfig, environ: Mapping[str, str], *, program: str) -> RestClient:
    """The way to the server. Warns if that gives the token away. Raises ConfigError."""
    target = RestTarget.of(config, environ)
    if config.token is not None and target.reveals_token():
        say_error(
            f"warning: the token goes to {target.base} in the clear: anyone on the path can read and use it",
            hint="use https, and --authority FILE",
            program=program,
        )
    return RestClient(target.base, token=config.token, timeout_s=config.timeout_s, tls=target.context())


def authority_here(environ: Mapping[str, str]) -> Path | None:
    """The authority's certificate in the state directory of this host's server, if we may read it."""
    given = environ.get("REMSIM_STATE_DIR")
    try:
        folder = Path(given) if given else default_state_dir(ServerConfig, {}, environ)
    except ConfigError:
        return None
    path = Credentials(folder / CREDENTIALS_NAME).authority_file
    return path if access(path, R_OK) else None


def _address(url: str) -> HostPort:
    parts = urlsplit(url)
    return HostPort(parts.hostname or "", parts.port or REST_PORT)
