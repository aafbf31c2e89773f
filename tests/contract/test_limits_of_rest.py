# SPDX-License-Identifier: Apache-2.0
"""Each limit of REST, reached on real sockets: counted, the offender closed or refused, a neighbour answered."""

import asyncio
import select
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from remsim.config import HostPort, ServerConfig
from remsim.core.limits import LimitCounts, LimitName
from remsim.logs import get_logger
from remsim.net.accept.acceptor import PER_ROUND
from remsim.net.log_limiter import LogRateLimiter
from remsim.net.runtime.tasks import TaskOwner
from remsim.net.tls.contexts import TlsContexts
from remsim.pki import signing
from remsim.pki.enrolment_service import EnrolmentService
from remsim.pki.messages import RENEWAL_PATH, RENEWAL_PERIOD_S, RENEWALS_ALLOWED, renewal_content
from remsim.pki.toolkit import CryptographyToolkit
from remsim.server.api import enrolment, errors, limits
from remsim.server.api import listener as listener_module
from remsim.server.api.connection import ON_PROVEN
from remsim.server.api.listener import RestListener
from remsim.server.api.resource import RestApplication
from remsim.server.authority.audit import CertificateAudit
from remsim.server.core.tokens import FAILURES_ALLOWED, TokenRole, failure_limiter
from remsim.server.service import ServerService
from remsim.server.store import audit
from remsim.server.store.tokens import create_token
from tests.doubles.certificates import BANK, SERVER, CertificateWorld
from tests.doubles.link_world import RawEnd, dialled_raw
from tests.doubles.reaching import reaches
from tests.doubles.server_rig import V1, mapping, rest_client, running_server
from tests.doubles.tls_world import Run

ANY_PORT = HostPort("127.0.0.1", 0)
GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
BIG = 1 << 25
WRONG = "remsim_0123456789ab_" + "a" * 52


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once; ``/big`` with more than any buffer takes; ``/read`` after it has read the body."""
    if scope["path"] == "/read":
        while (await receive()).get("more_body"):
            pass
    body = bytes(BIG) if scope["path"] == "/big" else b"ok"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class NotedCounts(LimitCounts):
    """Tells when a limit is reached."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached = asyncio.Event()

    def reached(self, name: LimitName) -> None:
        super().reached(name)
        self.is_reached.set()


class Stage:
    """A listener, and what it counts."""

    def __init__(self, rest: RestListener, counts: NotedCounts) -> None:
        self.rest, self.counts = rest, counts

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.rest.address.port


@asynccontextmanager
async def listening(served: ASGIApp = app, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Stage]:
    """HTTP on a free port."""
    counts = NotedCounts()
    rest = RestListener(served, ANY_PORT, tls=tls, counts=counts)
    async with TaskOwner("test") as tasks:
        running = tasks.vital(rest.run(), name="rest")
        await rest.wait_listening()
        try:
            yield Stage(rest, counts)
        finally:
            rest.stop()
            if running is not None:
                await asyncio.wait([running])


async def is_answered(peer: RawEnd) -> bool:
    """Whether a request on this connection gets its answer."""
    await peer.write(GET)
    heard = b""
    while not heard.endswith(b"ok"):
        raw = await peer.read(1)
        if not raw:
            return False
        heard += raw
    return True


async def leave(peer: RawEnd) -> None:
    """Give the place of this connection back; returns when the server knows."""
    peer.sock.shutdown(socket.SHUT_WR)
    assert await peer.read_to_end() == b""


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """HTTP, and a neighbour who is connected all the time and answered before and after."""
    async with listening() as there, dialled_raw("127.0.0.1", there.port) as neighbour:
        assert await is_answered(neighbour)
        yield there
        async with dialled_raw("127.0.0.1", there.port, source="127.0.0.2") as another:
            assert await is_answered(another)
        assert await is_answered(neighbour), "only the offender is to be closed"


def greeting() -> bytes:
    """What a TLS client says first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x").do_handshake()
    return outgoing.read()


async def test_two_sources_that_greet_on_all_their_connections_keep_no_third_waiting(ca: CertificateWorld) -> None:
    each, hello = 100, greeting()
    tls = TlsContexts(ca.credentials(SERVER)).rest
    with ExitStack() as opened:

        def greet(source: str, port: int) -> socket.socket:
            sock = opened.enter_context(socket.create_connection(("127.0.0.1", port), source_address=(source, 0)))
            sock.sendall(hello)
            sock.settimeout(0)
            return sock

        async def is_answered_on(sock: socket.socket) -> None:
            heard = asyncio.Event()
            asyncio.get_running_loop().add_reader(sock.fileno(), heard.set)
            await heard.wait()
            asyncio.get_running_loop().remove_reader(sock.fileno())

        async with listening(tls=tls) as there:
            # All of this before the loop has its next round: they are ahead of the third in the kernel's queue.
            others = [greet(source, there.port) for _ in range(each) for source in ("127.0.0.2", "127.0.0.3")]
            third = greet("127.0.0.1", there.port)
            async with asyncio.timeout(30):
                await is_answered_on(third)
                # Sixteen are accepted in a round, and one is answered. Then it is the third's turn with the others.
                assert len(select.select(others, [], [], 0)[0]) <= 2 * each / PER_ROUND + 10
                await asyncio.gather(*map(is_answered_on, others))


@reaches(LimitName.REST_CONNECTIONS, LimitName.REST_CONNECTIONS_PER_SOURCE)
def test_at_the_limit_the_oldest_unproven_connection_makes_room(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 4)
    monkeypatch.setattr(limits, "MAX_CONNECTIONS_PER_SOURCE", 2)

    async def work() -> None:
        async with listening() as there, dialled_raw("127.0.0.1", there.port, source="127.0.0.2") as neighbour:
            assert await is_answered(neighbour)
            async with dialled_raw("127.0.0.1", there.port) as first, dialled_raw("127.0.0.1", there.port) as second:
                assert await is_answered(first)
                assert await is_answered(second)
                async with dialled_raw("127.0.0.1", there.port) as third:
                    assert await drained(first) == b""
                    assert await is_answered(third)
                    assert there.counts[LimitName.REST_CONNECTIONS_PER_SOURCE] == 1
                    async with (
                        dialled_raw("127.0.0.1", there.port, source="127.0.0.3") as fourth,
                        dialled_raw("127.0.0.1", there.port, source="127.0.0.4") as last,
                    ):
                        assert await drained(second) == b""
                        assert await is_answered(fourth)
                        assert await is_answered(last)
                        assert there.counts[LimitName.REST_CONNECTIONS] == 1
            assert await is_answered(neighbour)

    run(work())


def test_connection_that_showed_a_good_token_makes_room_for_nobody(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 2)

    async def judging(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/good":
            scope["state"][ON_PROVEN]()
        await app(scope, receive, send)

    async def work() -> None:
        async with listening(judging) as there, dialled_raw("127.0.0.1", there.port) as proven:
            await proven.write(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await proven.read(12)).endswith(b" 200")
            async with AsyncExitStack() as stack:
                for _ in range(5):
                    peer = await stack.enter_async_context(dialled_raw("127.0.0.1", there.port))
                    assert await is_answered(peer)
            assert await is_answered(proven)

    run(work())


def test_refused_connections_leave_everybody_else_his_turn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 0)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        turns, refused_at, is_over = 0, list[int](), asyncio.Event()

        def take_turn() -> None:
            nonlocal turns
            turns += 1
            if not is_over.is_set():
                loop.call_soon(take_turn)

        async with listening() as there:

            def note(_name: LimitName) -> None:
                refused_at.append(turns)
                if len(refused_at) == 5:
                    is_over.set()

            monkeypatch.setattr(there.counts, "reached", note)
            with ExitStack() as stack:
                # They wait in the kernel while the loop is held up here.
                for _ in range(5):
                    stack.enter_context(socket.create_connection(("127.0.0.1", there.port), timeout=5))
                take_turn()
                await is_over.wait()
        assert len(set(refused_at)) == 5

    run(work())


@reaches(LimitName.REST_HEAD)
def test_head_that_is_too_long_is_refused(run: Run) -> None:
    async def work() -> None:
        async with stage() as there, dialled_raw("127.0.0.1", there.port) as offender:
            await offender.write(b"GET / HTTP/1.1\r\nX: " + b"x" * (2 * limits.MAX_HEAD_BYTES))
            assert (await offender.read(12)).endswith(b" 400")
            assert there.counts[LimitName.REST_HEAD] == 1
            async with dialled_raw("127.0.0.1", there.port) as nonsense:
                await nonsense.write(b"\x00\x01\xfe\x00\r\n\r\n")
                assert (await nonsense.read(12)).endswith(b" 400")
            assert there.counts[LimitName.REST_HEAD] == 1

    run(work())


@reaches(LimitName.REST_HEAD_TIME)
@pytest.mark.parametrize("sent", [b"", GET[:9], GET + GET[:9]], ids=["nothing", "half", "one and a half"])
def test_peer_that_does_not_end_its_head_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    async def work() -> None:
        async with stage() as there:
            monkeypatch.setattr(limits, "HEAD_TIME_S", 0.05)
            async with dialled_raw("127.0.0.1", there.port) as offender:
                await offender.write(sent)
                with pytest.raises(ConnectionResetError):
                    await read_until_reset(offender)
            monkeypatch.undo()
            assert there.counts[LimitName.REST_HEAD_TIME] == 1

    run(work())


async def read_until_reset(peer: RawEnd) -> None:
    """Read what comes; an end in order is a reset, too."""
    await peer.read_to_end()
    raise ConnectionResetError


@reaches(LimitName.REST_BODY_TIME)
@pytest.mark.parametrize("path", ["/read", "/unread"])
def test_peer_that_does_not_end_its_body_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    async def work() -> None:
        async with stage() as there:
            monkeypatch.setattr(limits, "BODY_TIME_S", 0.05)
            async with dialled_raw("127.0.0.1", there.port) as offender:
                await offender.write(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1".encode())
                with pytest.raises(ConnectionResetError):
                    await read_until_reset(offender)
            monkeypatch.undo()
            assert there.counts[LimitName.REST_BODY_TIME] == 1

    run(work())


@reaches(LimitName.REST_ANSWER_TIME)
def test_peer_that_does_not_take_its_answer_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with stage() as there:
            monkeypatch.setattr(limits, "ANSWER_TIME_S", 0.05)
            async with dialled_raw("127.0.0.1", there.port, receive_buffer=4096) as offender:
                await offender.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
                await there.counts.is_reached.wait()
                assert len(await drained(offender)) < BIG
            monkeypatch.undo()
            assert there.counts[LimitName.REST_ANSWER_TIME] == 1

    run(work())


async def drained(peer: RawEnd) -> bytes:
    """What still comes before the connection breaks."""
    found = b""
    try:
        while raw := await peer.read(1 << 16):
            found += raw
    except ConnectionError:
        pass
    return found


@reaches(LimitName.REST_HANDSHAKE_TIME)
def test_peer_that_does_not_shake_hands_loses_its_place(
    run: Run, ca: CertificateWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS_PER_SOURCE", 2)

    async def work() -> None:
        contexts = TlsContexts(ca.credentials(SERVER))
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.load_verify_locations(cadata=ca.authority.certificate.decode())
        async with listening(tls=contexts.rest) as there:
            reader, writer = await asyncio.open_connection("127.0.0.1", there.port, ssl=trusting)
            monkeypatch.setattr(listener_module, "HANDSHAKE_TIMEOUT_S", 0.05)
            for _ in range(2):
                async with dialled_raw("127.0.0.1", there.port) as peer:
                    assert await drained(peer) == b""
            for garbage in (GET, b""):
                async with dialled_raw("127.0.0.1", there.port) as peer:
                    await peer.write(garbage)
                    peer.sock.shutdown(1)
                    await drained(peer)
            monkeypatch.undo()
            assert there.counts[LimitName.REST_HANDSHAKE_TIME] == 2
            assert there.counts[LimitName.REST_CONNECTIONS_PER_SOURCE] == 0, "their places are free again"
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            writer.close()
            await writer.wait_closed()

    run(work())


# What is limited behind the door


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path, rest_open=False) as running:
        yield running


async def make_token(state: Path, role: TokenRole) -> str:
    """A token, made as ``remsim token create`` makes it."""
    text, _ = await asyncio.to_thread(create_token, ServerConfig(state_dir=state), name=role.text, role=role)
    return text


@reaches(LimitName.REST_BODY)
async def test_body_that_is_too_long_is_refused(service: ServerService, tmp_path: Path) -> None:
    token = await make_token(tmp_path, TokenRole.OPERATOR)
    async with rest_client(service, over_socket=True, token=token) as rest:
        long = {"content-type": "application/json"}
        answer = await rest.post(f"{V1}/slotmaps", content=b"x" * (limits.MAX_BODY_BYTES + 1), headers=long)
        assert answer.status_code == 413
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201
    assert service._metrics.limits[LimitName.REST_BODY] == 1


@reaches(LimitName.TOKEN_FAILURES)
async def test_source_that_tries_tokens_must_wait(service: ServerService, tmp_path: Path) -> None:
    token = await make_token(tmp_path, TokenRole.VIEWER)
    async with rest_client(service, over_socket=True, token=WRONG) as rest:
        for _ in range(FAILURES_ALLOWED):
            assert (await rest.get(f"{V1}/banks")).status_code == 401
        assert (await rest.get(f"{V1}/banks")).status_code == 429
    address = f"http://{service.rest_address}"
    elsewhere = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=address, transport=elsewhere, headers=headers) as rest:
        assert (await rest.get(f"{V1}/banks")).status_code == 200
    assert service._metrics.limits[LimitName.TOKEN_FAILURES] == 1


@reaches(LimitName.RENEWALS)
async def test_holder_that_renews_all_the_time_must_wait(ca: CertificateWorld) -> None:
    counts = LimitCounts()
    served = RestApplication()
    errors.install(served, counts)
    issuances = CertificateAudit((), lambda _entry: None, lambda _entry: None)
    log, service = get_logger("test"), EnrolmentService(ca.authority)
    lines = LogRateLimiter(log, counts, now=time.monotonic)
    enrolment.mount(served, service, log=log, issuances=issuances, lines=lines, limits=counts)
    bank, answers = ca.credentials(BANK), []
    async with httpx2.AsyncClient(base_url="https://test", transport=httpx2.ASGITransport(served)) as rest:
        for _ in range(RENEWALS_ALLOWED):
            pem, request = bank.certificate_pem(), signing.make_request(signing.make_key(), "x")
            signature = CryptographyToolkit().sign(bank.pair_file, renewal_content(pem, request))
            body = {"certificate": pem.decode(), "request": request.decode(), "signature": signature.hex()}
            answers.append(await rest.post(RENEWAL_PATH, json=body))
    assert [answer.status_code for answer in answers] == [200] * (RENEWALS_ALLOWED - 1) + [429]
    assert answers[-1].json()["error"]["code"] == "too_many_renewals"
    assert 0 < int(answers[-1].headers["Retry-After"]) <= RENEWAL_PERIOD_S
    assert counts[LimitName.RENEWALS] == 1
    assert len(ca.authority.issued_to(BANK)) == RENEWALS_ALLOWED


@reaches(LimitName.FAILING_SOURCES)
def test_no_more_sources_that_failed_are_remembered_than_allowed() -> None:
    counts = LimitCounts()
    limiter = failure_limiter(allowed=1, max_sources=2, limits=counts)
    for source in ("a", "b", "c"):
        limiter.spend(source, 0.0)
    assert counts[LimitName.FAILING_SOURCES] == 1
    assert limiter.wait_s("b", 0.0) > 0


@reaches(LimitName.STORED_REFUSALS)
async def test_refusals_do_not_fill_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "STORED_REFUSALS", 2)
    roles = (TokenRole.VIEWER, TokenRole.VIEWER, TokenRole.ADMIN)
    viewer, other, admin = [await make_token(tmp_path, role) for role in roles]
    async with running_server(tmp_path, rest_open=False) as service:
        for token, attempts in ((viewer, 5), (WRONG, 4), (other, 1)):
            async with rest_client(service, over_socket=True, token=token) as rest:
                for _ in range(attempts):
                    assert (await rest.post(f"{V1}/global-reset")).status_code in (401, 403)
        async with rest_client(service, over_socket=True, token=admin) as rest:
            assert (await rest.post(f"{V1}/global-reset")).status_code == 200
            entries = (await rest.get(f"{V1}/audit")).json()["audit"]
        assert [entry["outcome"] for entry in entries[3:]] == ["refused"] * 5 + ["done"]
        assert service._metrics.limits[LimitName.STORED_REFUSALS] == 5
