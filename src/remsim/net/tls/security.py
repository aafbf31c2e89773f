# SPDX-License-Identifier: Apache-2.0
"""Whether the links of a program are protected: TLS with its certificate, or plain TCP where that was asked for.

There is nothing else: without certificates and without ``--plaintext`` a program does not start. With certificates,
every link is over TLS but those that come in at a listener which is for plain TCP only.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from remsim.config import DaemonConfig, HostPort, IpNetwork
from remsim.core.errors import StartError
from remsim.core.identity import Identity, Role
from remsim.core.values import dataclass
from remsim.logs import Logger
from remsim.net.accept.quota import ConnectionQuota, most_connections
from remsim.net.plain import Networks, is_within, outside_text
from remsim.net.tls.contexts import Expectation, LinkTls, TlsContexts
from remsim.pki.credentials import Credentials

_WITHOUT: Final = "links are neither encrypted nor authenticated: anybody who reaches them can pose as any program"

#: How each program gets a certificate.
_ENROL: Final = "enrol this host (remsim enroll URL CODE)"
_HOW: Final = {
    Role.SERVER: "make one, an authority and a token with: remsim server init",
    Role.BANK: _ENROL,
    Role.CLIENT: _ENROL,
}


@dataclass(frozen=True, slots=True)
class TransportSecurity:
    """What the links of one program are given."""

    #: None: there is no certificate, and plain TCP is all there is.
    contexts: TlsContexts | None
    #: Where links without TLS may come from and lead to.
    networks: Networks

    def tls(self, *roles: Role, identity: Identity | None = None) -> LinkTls | None:
        """The TLS of links that lead to anybody of these roles, or to this identity; None without certificates."""
        if self.contexts is None:
            return None
        expects = Expectation.of(*roles) if identity is None else Expectation.exactly(identity)
        return LinkTls(self.contexts, expects)


def quota_of(config: DaemonConfig) -> ConnectionQuota:
    """The limits on unknown peers that are configured."""
    limits = config.limits
    return ConnectionQuota(
        most=limits.unidentified,
        most_per_source=limits.unidentified_per_source,
        most_connections=most_connections(),
    )


def protect(
    config: DaemonConfig,
    *,
    log: Logger,
    speaks_for: Sequence[Identity] = (),
    role: Role,
    dials: Sequence[HostPort] = (),
    plain_listener: HostPort | None = None,
) -> TransportSecurity:
    """Decide how the program's links are protected, and warn of what is not. Raises StartError and PkiError.

    ``speaks_for`` are the identities that the certificate must be good for, besides having ``role``; ``dials`` whom
    the program calls; ``plain_listener`` is an extra listener for plain TCP.
    """
    directory = config.credentials_dir
    networks: tuple[IpNetwork, ...] = config.plaintext_networks
    if directory is not None and Credentials(directory).exist():
        contexts = TlsContexts(Credentials(directory))
        contexts.credentials.check_origin()
        _check_identity(contexts.identity, role, speaks_for, where=str(directory))
        if plain_listener is not None:
            allowed = [str(network) for network in config.listener_networks]
            log.warning("plaintext_listener", address=str(plain_listener), networks=allowed, text=_WITHOUT)
        log.info("tls", identity=str(contexts.identity), expires=contexts.not_after.isoformat())
        return TransportSecurity(contexts, networks)
    if config.plaintext is None:
        place = "there is no certificate" if directory is None else f"there is no certificate in {directory}"
        raise StartError(
            f"{place}, and RSPRO over plain TCP is not allowed",
            hint=f"{_HOW[role]}, or allow plain TCP with --plaintext (REMSIM_PLAINTEXT=1)",
        )
    for target in dials:
        _check_target(target, networks)
    log.warning("plaintext", networks=[str(network) for network in networks], text=_WITHOUT)
    return TransportSecurity(None, networks)


def _check_identity(found: Identity, role: Role, wanted: Sequence[Identity], *, where: str) -> None:
    if found.role is not role:
        raise StartError(f"the certificate in {where} is for {found}, not for a {role.value}", hint=_OTHER)
    for identity in wanted:
        if not found.covers(identity):
            raise StartError(f"the certificate in {where} is for {found}, not for {identity}", hint=_OTHER)


_OTHER: Final = "name the right directory with --tls DIR, or enrol this host again"


def _check_target(target: HostPort, networks: Networks) -> None:
    try:
        address = ip_address(target.host)
    except ValueError:
        return  # a name: each of its addresses is looked at when it is dialled
    if not is_within(address, networks):
        raise StartError(outside_text(target.host, networks), hint=f"for example --plaintext={address}")
