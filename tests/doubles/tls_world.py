# SPDX-License-Identifier: Apache-2.0
"""Connection managers that talk TLS on loopback, and peers with every kind of wrong certificate."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine

from remsim.config import HostPort
from remsim.core.identity import Role
from remsim.net.accept.listen import Listener
from remsim.net.accept.quota import ConnectionQuota
from remsim.net.connections import ConnectionManager
from remsim.net.runtime.tasks import TaskOwner
from remsim.net.tls.contexts import Expectation, LinkTls, TlsContexts
from remsim.pki.credentials import Credentials
from remsim.pki.facts import decode_pem
from remsim.wire.link.dialing import Backoff
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentType, ResultCode
from tests.doubles import engines
from tests.doubles.certificates import ANYBODY, CLIENT, DAY_S, SERVER, CertificateWorld
from tests.doubles.link_world import Program, factory
from tests.doubles.noted_log import NotedLog

LOOPBACK = HostPort("127.0.0.1", 0)
#: One attempt is enough to see how it ends; the next one would come when the test is long over.
ONCE = Backoff(first_s=3600.0, most_s=3600.0)
CONNECT = rspro.ConnectClientReq(engines.identity(ComponentType.REMSIM_CLIENT), engines.CLIENT)
RESPONSE = rspro.ConnectClientRes(engines.identity(ComponentType.REMSIM_SERVER), ResultCode.OK)

Run = Callable[[Coroutine[object, object, None]], None]


@contextlib.asynccontextmanager
async def noted_world(
    quota: ConnectionQuota | None = None,
) -> AsyncIterator[tuple[ConnectionManager, Program, NotedLog]]:
    """A manager, its program, and its log."""
    program, log = Program(), NotedLog()
    async with TaskOwner("world", log=log.logger) as tasks:
        manager = ConnectionManager(program, tasks=tasks, log=log.logger, quota=quota)
        try:
            yield manager, program, log
        finally:
            await manager.close()
            tasks.cancel()


class FakePeer(ssl.SSLObject):
    """What a handshake leaves: the peer's certificate."""

    def __new__(cls, _credentials: Credentials) -> "FakePeer":
        """An SSLObject is not meant to be built."""
        return object.__new__(cls)

    def __init__(self, credentials: Credentials) -> None:
        self._der = decode_pem(credentials.certificate_pem())[0]

    def getpeercert(self, binary_form: bool = False) -> bytes:  # type: ignore[override]
        """The certificate."""
        assert binary_form
        return self._der


def dial(manager: ConnectionManager, listener: Listener, tls: LinkTls | None) -> None:
    """Dial the listener as a client."""
    dialled = manager.dial(
        factory(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_SERVER), name="t", backoff=ONCE, tls=tls
    )
    dialled.want("127.0.0.1", listener.port)


def server_tls(ca: CertificateWorld) -> LinkTls:
    """The server's side, which takes clients and banks."""
    return ca.tls(SERVER, Expectation.of(Role.CLIENT, Role.BANK))


def client_tls(ca: CertificateWorld) -> LinkTls:
    """The client's side, which wants a server."""
    return ca.tls(CLIENT, Expectation.of(Role.SERVER))


def expired_client(ca: CertificateWorld) -> LinkTls:
    """A client whose certificate ended yesterday."""
    old = ca.credentials(CLIENT, now=ca.now - 91 * DAY_S)
    return LinkTls(TlsContexts(old), ANYBODY)


def future_client(ca: CertificateWorld) -> LinkTls:
    """A client whose certificate begins tomorrow."""
    new = ca.credentials(CLIENT, now=ca.now + DAY_S)
    return LinkTls(TlsContexts(new), ANYBODY)


def foreign_authority(ca: CertificateWorld) -> LinkTls:
    """A client of somebody else's authority, which trusts ours."""
    other = CertificateWorld(ca.directory / "other").credentials(CLIENT)
    other.authority_file.write_bytes(ca.authority.certificate)
    other.revocations_file.write_bytes(ca.revocations())
    return LinkTls(TlsContexts(other), ANYBODY)


def revoked_client(ca: CertificateWorld) -> LinkTls:
    """A client whose certificate is revoked, which the server knows and it does not."""
    credentials = ca.credentials(CLIENT)
    contexts = TlsContexts(credentials)
    ca.revoke(credentials)
    return LinkTls(contexts, ANYBODY)
