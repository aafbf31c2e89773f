# SPDX-License-Identifier: Apache-2.0
"""Links over TLS on loopback: who gets in, who does not, and what each side is told. Over both kinds of loop."""

import asyncio
import ssl
from collections.abc import Callable

import pytest

from remsim.core.identity import Identity, Role
from remsim.net.accept.quota import ConnectionQuota
from remsim.net.tls import transport
from remsim.net.tls.contexts import Expectation, LinkTls, TlsContexts, explain
from remsim.wire.link.actions import Accepted, Send
from remsim.wire.link.engine import Received
from remsim.wire.messages import rspro
from tests.doubles import engines
from tests.doubles.certificates import ANYBODY, BANK, CLIENT, SERVER, CertificateWorld
from tests.doubles.link_world import dialled_raw, factory, world
from tests.doubles.tls_world import (
    CONNECT,
    LOOPBACK,
    RESPONSE,
    Run,
    client_tls,
    dial,
    expired_client,
    foreign_authority,
    future_client,
    noted_world,
    revoked_client,
    server_tls,
)


class TestGoodPeers:
    def test_link_comes_up_and_both_sides_know_each_other(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            async with world() as (server, at_server), world() as (client, at_client):
                tls = ca.tls(SERVER, Expectation.of(Role.CLIENT, Role.BANK))
                listener = await server.listen(LOOPBACK, factory(), tls=tls)
                dial(client, listener, ca.tls(CLIENT, Expectation.of(Role.SERVER)))
                accepted, _ = await at_server.ups.get()
                dialled, _ = await at_client.ups.get()
                assert server.peer_identity(accepted) == CLIENT
                assert client.peer_identity(dialled) == SERVER
                client.execute(Send(dialled, CONNECT))
                link, event = await at_server.events.get()
                assert link == accepted
                assert isinstance(event, Received)
                server.execute(Send(accepted, RESPONSE, reply_to=event.tag))
                server.execute(Accepted(accepted))
                assert isinstance((await at_client.events.get())[1], Received)

        run(play())

    def test_link_without_tls_has_no_identity(self, run: Run) -> None:
        async def play() -> None:
            async with world() as (server, at_server), world() as (client, at_client):
                listener = await server.listen(LOOPBACK, factory())
                dial(client, listener, None)
                assert server.peer_identity((await at_server.ups.get())[0]) is None
                assert client.peer_identity((await at_client.ups.get())[0]) is None

        run(play())

    def test_thousand_bytes_of_each_size_arrive_through_tls(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            async with world() as (server, at_server), world() as (client, at_client):
                listener = await server.listen(LOOPBACK, factory(), tls=ca.tls(SERVER))
                dial(client, listener, ca.tls(CLIENT))
                accepted, _ = await at_server.ups.get()
                dialled, _ = await at_client.ups.get()
                client.execute(Send(dialled, CONNECT))
                _, request = await at_server.events.get()
                assert isinstance(request, Received)
                server.execute(Send(accepted, RESPONSE, reply_to=request.tag))
                await at_client.events.get()
                tpdu = rspro.TpduModemToCard(engines.CLIENT, engines.BANK, rspro.NO_FLAGS, bytes(260))
                for _ in range(100):
                    client.execute(Send(dialled, tpdu))
                for _ in range(100):
                    _, event = await at_server.events.get()
                    assert isinstance(event, Received)
                    assert event.message == tpdu

        run(play())

    async def test_nothing_can_be_resumed(self, ca: CertificateWorld) -> None:
        async with world() as (server, at_server):
            listener = await server.listen(LOOPBACK, factory(), tls=ca.tls(SERVER))
            context = ca.tls(CLIENT).contexts.client
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=context, server_hostname="")
            await at_server.ups.get()
            await reader.readexactly(4)  # the PING: tickets would have come before it
            found: ssl.SSLObject = writer.get_extra_info("ssl_object")
            assert found.version() == "TLSv1.3"
            assert found.session is None or not found.session.has_ticket
            assert not found.session_reused
            writer.close()


class TestImpersonation:
    """Who tries to be somebody else: what the server logs, and what the other side sees at its first read."""

    @pytest.mark.parametrize(
        ("make", "logged", "seen"),
        [
            (expired_client, "the peer's certificate is refused: it has expired", "our certificate: it has expired"),
            (future_client, "the peer's certificate is refused: it is not valid yet", "refuses our certificate"),
            (
                foreign_authority,
                "the peer's certificate is refused: it is of an authority that we do not trust",
                "the peer refuses our certificate: it does not trust our authority",
            ),
            (revoked_client, "the peer's certificate is refused: it is revoked", "our certificate: it is revoked"),
        ],
    )
    def test_client_with_wrong_certificate_is_refused_in_the_handshake(
        self, run: Run, ca: CertificateWorld, make: Callable[[CertificateWorld], LinkTls], logged: str, seen: str
    ) -> None:
        async def play() -> None:
            dialling = make(ca)
            async with noted_world() as (server, _, server_log), noted_world() as (client, _, client_log):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
                dial(client, listener, dialling)
                assert (await server_log.next("tls_refused"))["reason"] == logged
                # TLS 1.3: the client's handshake is over before the server has judged it.
                assert seen in (await client_log.next("link_failed"))["reason"]
                assert len(server) == 0

        run(play())

    @pytest.mark.parametrize(
        ("identity", "wanted", "logged"),
        [
            (BANK, Expectation.of(Role.SERVER), "the peer is bank/1, no server"),
            (BANK, Expectation.exactly(Identity.bank(2)), "the peer is bank/1, not bank/2"),
            (SERVER, Expectation.exactly(BANK), "the peer is server/lab, not bank/1"),
        ],
    )
    def test_dialling_side_refuses_an_unexpected_peer(
        self, run: Run, ca: CertificateWorld, identity: Identity, wanted: Expectation, logged: str
    ) -> None:
        async def play() -> None:
            async with noted_world() as (server, at_server, _), noted_world() as (client, at_client, client_log):
                listener = await server.listen(LOOPBACK, factory(), tls=ca.tls(identity))
                dial(client, listener, ca.tls(CLIENT, wanted))
                assert (await client_log.next("link_failed"))["reason"] == logged
                assert at_client.ups.empty()
                link, _ = await at_server.ups.get()
                assert await at_server.ends.get() == (link, "closed by the peer")

        run(play())

    def test_accepting_side_refuses_a_wrong_role_and_a_certificate_for_dialling_only(
        self, run: Run, ca: CertificateWorld
    ) -> None:
        async def play() -> None:
            async with noted_world() as (server, at_server, log), noted_world() as (client, _, client_log):
                tls = ca.tls(SERVER, Expectation.of(Role.BANK))
                listener = await server.listen(LOOPBACK, factory(), tls=tls)
                dial(client, listener, client_tls(ca))
                assert (await log.next("tls_refused"))["reason"] == "the peer is client/23, no bank"
                assert (await client_log.next("link_failed"))["reason"] == "closed by the peer"
                assert at_server.ups.empty()

                posing = await server.listen(LOOPBACK, factory(), tls=ca.tls(Identity.client(9)))
                dial(client, posing, ca.tls(Identity.client(7)))
                failed = await client_log.next("link_failed")
                assert failed["reason"].endswith("it is not made for this side of a link")

        run(play())

    def test_dialling_side_refuses_a_server_of_another_authority(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            other = CertificateWorld(ca.directory / "other")
            async with noted_world() as (server, _, log), noted_world() as (client, _, client_log):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(other))
                dial(client, listener, client_tls(ca))
                assert "an authority that we do not trust" in (await client_log.next("link_failed"))["reason"]
                assert "it does not trust our authority" in (await log.next("tls_refused"))["reason"]

        run(play())

    def test_dialling_side_refuses_a_revoked_bank(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            bank = ca.credentials(BANK)
            contexts = TlsContexts(bank)
            ca.revoke(bank)
            async with noted_world() as (server, _, _), noted_world() as (client, _, client_log):
                listener = await server.listen(LOOPBACK, factory(), tls=LinkTls(contexts, ANYBODY))
                dial(client, listener, ca.tls(CLIENT, Expectation.exactly(BANK)))
                assert "it is revoked" in (await client_log.next("link_failed"))["reason"]

        run(play())


class TestOtherProtocols:
    """What is not TLS 1.3 with a certificate."""

    @pytest.mark.parametrize(
        ("first", "reason"),
        [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "the peer speaks HTTP, not TLS"),
            (bytes.fromhex("0001fe00"), "the peer does not speak TLS"),
        ],
    )
    def test_peer_without_tls_is_refused(self, run: Run, ca: CertificateWorld, first: bytes, reason: str) -> None:
        async def play() -> None:
            async with noted_world() as (server, _, log):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
                async with dialled_raw("127.0.0.1", listener.port) as peer:
                    await peer.write(first + bytes(16))
                    assert (await log.next("tls_refused"))["reason"] == reason

        run(play())

    def test_client_without_certificate_is_told_to_show_one(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(ca.directory / "ca" / "authority.pem")
            async with noted_world() as (server, _, log):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", listener.port, ssl=context, server_hostname=""
                )
                assert (await log.next("tls_refused"))["reason"] == "the peer showed no certificate"
                with pytest.raises(ssl.SSLError) as caught:
                    await reader.read()
                assert explain(caught.value) == "the peer demands a certificate"
                writer.close()

        run(play())

    def test_older_tls_is_refused(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            async with noted_world() as (server, _, log):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
                with pytest.raises(ssl.SSLError) as caught:
                    await asyncio.open_connection("127.0.0.1", listener.port, ssl=context, server_hostname="")
                assert explain(caught.value) == "the peer does not speak TLS 1.3"
                assert (await log.next("tls_refused"))["reason"] == "the peer does not speak TLS 1.3"

        run(play())

    def test_peer_that_leaves_within_the_handshake_is_logged_and_forgotten(
        self, run: Run, ca: CertificateWorld
    ) -> None:
        async def play() -> None:
            quota = ConnectionQuota()
            async with noted_world(quota) as (server, _, log):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
                async with dialled_raw("127.0.0.1", listener.port) as peer:
                    await peer.write(b"\x16")
                reason = (await log.next("tls_refused"))["reason"]
                assert reason == "closed by the peer within the TLS handshake"
                assert len(quota) == 0

        run(play())

    def test_silent_peer_is_cut_off(self, run: Run, ca: CertificateWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "HANDSHAKE_TIMEOUT_S", 0.05)

        async def play() -> None:
            async with noted_world() as (server, _, log):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
                async with dialled_raw("127.0.0.1", listener.port) as peer:
                    assert (await log.next("tls_refused"))["reason"] == "no TLS handshake within 0.05 s"
                    assert await peer.read_to_end() == b""

        run(play())

    def test_manager_that_closes_drops_handshakes_in_progress(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            async with noted_world() as (server, _, _):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
                connected = dialled_raw("127.0.0.1", listener.port)
                peer = await connected.__aenter__()
            assert await peer.read_to_end() == b""
            await connected.__aexit__(None, None, None)

        run(play())
