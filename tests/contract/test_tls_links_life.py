# SPDX-License-Identifier: Apache-2.0
"""Links over TLS while certificates are renewed and revoked, and how many peers without a certificate may wait."""

import contextlib

import pytest

from remsim.core.identity import Identity
from remsim.net.accept.quota import ConnectionQuota, QuotaKind
from remsim.net.tls.contexts import Expectation, HandshakeError, LinkTls, TlsContexts
from remsim.wire import ccm
from remsim.wire.link.actions import Accepted
from remsim.wire.messages.rspro import ComponentType
from tests.doubles.certificates import ANYBODY, BANK, CLIENT, SERVER, CertificateWorld
from tests.doubles.link_world import dialled_raw, factory
from tests.doubles.tls_world import (
    LOOPBACK,
    ONCE,
    FakePeer,
    Run,
    client_tls,
    dial,
    noted_world,
    server_tls,
)


class TestLife:
    def test_renewed_certificate_serves_new_links_while_old_ones_go_on(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            tls = server_tls(ca)
            async with noted_world() as (server, at_server, _), noted_world() as (client, at_client, _):
                listener = await server.listen(LOOPBACK, factory(), tls=tls)
                dial(client, listener, client_tls(ca))
                first, _ = await at_client.ups.get()
                await at_server.ups.get()
                ca.credentials(Identity.server("renamed"), folder="server-lab")
                tls.contexts.reload()
                dial(client, listener, ca.tls(Identity.client(5)))
                second, _ = await at_client.ups.get()
                assert client.peer_identity(first) == SERVER
                assert client.peer_identity(second) == Identity.server("renamed")
                await at_server.ups.get()
                assert len(server) == 2

        run(play())

    def test_revocation_reaches_links_that_are_up(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            tls = server_tls(ca)
            stolen = ca.credentials(CLIENT)
            async with noted_world() as (server, at_server, log), noted_world() as (client, at_client, client_log):
                listener = await server.listen(LOOPBACK, factory(), tls=tls)
                dial(client, listener, LinkTls(TlsContexts(stolen), ANYBODY))
                dial(client, listener, ca.tls(Identity.client(5)))
                links = {server.peer_identity(link): link for link in [(await at_server.ups.get())[0] for _ in "ab"]}
                for _ in "ab":
                    await at_client.ups.get()
                assert server.close_revoked(tls.contexts.is_revoked) == []
                ca.revoke(stolen)
                ca.tell(tls.contexts.credentials)
                tls.contexts.reload()
                assert server.close_revoked(tls.contexts.is_revoked) == [links[CLIENT]]
                assert await at_server.ends.get() == (links[CLIENT], "the peer's certificate is revoked")
                assert (await client_log.next("link_failed"))["reason"] == "closed by the peer"
                # It comes back at once, and is refused.
                assert (await log.next("tls_refused"))["reason"].endswith("it is revoked")

        run(play())

    def test_list_that_came_after_the_handshake_is_looked_at(self, ca: CertificateWorld) -> None:
        stolen = ca.credentials(CLIENT)
        tls = server_tls(ca)
        ca.revoke(stolen)
        ca.tell(tls.contexts.credentials)
        tls.contexts.reload()
        with pytest.raises(HandshakeError, match="the certificate of client/23 is revoked"):
            tls.check_peer(FakePeer(stolen))

    def test_target_and_expectation_change_together(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            async with noted_world() as (server, at_server, _), noted_world() as (client, at_client, log):
                listener = await server.listen(LOOPBACK, factory(), tls=ca.tls(BANK))
                dialled = client.dial(
                    factory(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD),
                    name="bankd",
                    backoff=ONCE,
                    tls=ca.tls(CLIENT),
                )
                dialled.want("127.0.0.1", listener.port, expects=Expectation.exactly(Identity.bank(2)))
                assert (await log.next("link_failed"))["reason"] == "the peer is bank/1, not bank/2"
                dialled.want("127.0.0.1", listener.port, expects=Expectation.exactly(BANK))
                link, _ = await at_client.ups.get()
                assert client.peer_identity(link) == BANK
                dialled.unwant()
                await at_client.ends.get()
                del at_server

        run(play())


class TestLimits:
    def test_pending_peers_are_bounded_and_proven_peers_do_not_count(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            quota = ConnectionQuota(most=2)
            async with noted_world(quota) as (server, at_server, log), noted_world() as (client, at_client, _):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
                for number in range(3):
                    dial(client, listener, ca.tls(Identity.client(number)))
                    await at_server.ups.get()
                    await at_client.ups.get()
                assert len(quota) == 0
                async with contextlib.AsyncExitStack() as pending:
                    first = await pending.enter_async_context(dialled_raw("127.0.0.1", listener.port))
                    for _ in range(2):
                        await pending.enter_async_context(dialled_raw("127.0.0.1", listener.port))
                    refused = await log.next("limit_reached")
                    assert refused["limit"] == "unidentified connections"
                    with contextlib.suppress(ConnectionResetError):
                        assert await first.read_to_end() == b""
                    assert len(server) == 3
                    assert len(quota) == 2
                    # A peer with a certificate gets in while unauthenticated peers hold every place.
                    dial(client, listener, ca.tls(Identity.client(3)))
                    await at_server.ups.get()

        run(play())

    def test_plain_links_count_until_they_are_accepted(self, run: Run) -> None:
        async def play() -> None:
            quota = ConnectionQuota(most=1)
            async with noted_world(quota) as (server, at_server, log):
                listener = await server.listen(LOOPBACK, factory())
                async with dialled_raw("127.0.0.1", listener.port) as first:
                    await at_server.ups.get()
                    async with dialled_raw("127.0.0.1", listener.port):
                        assert (await log.next("limit_reached"))["limit"] == "unidentified connections"
                        with contextlib.suppress(ConnectionResetError):
                            assert await first.read_to_end() in (b"", ccm.PING)
                        link, _ = await at_server.ups.get()
                        _, reason = await at_server.ends.get()
                        assert reason == "not accepted in time: a newcomer needed the place"
                        server.execute(Accepted(link))
                        assert len(quota) == 0
                    async with dialled_raw("127.0.0.1", listener.port):
                        await at_server.ups.get()
                        assert len(quota) == 1
                    assert quota.refused == {QuotaKind.UNIDENTIFIED: 1}
                for _ in range(2):
                    await at_server.ends.get()
                assert len(quota) == 0

        run(play())
