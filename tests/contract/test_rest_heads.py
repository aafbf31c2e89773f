# SPDX-License-Identifier: Apache-2.0
"""Requests whose head is too long, or says two things about their end; and requests that are not whole at the end."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from remsim.core.limits import LimitName
from remsim.server.api import limits
from remsim.server.api.app import RequestMiddleware
from tests.doubles.certificates import SERVER, CertificateWorld
from tests.doubles.link_world import dialled_raw
from tests.doubles.server_rig import V1, running_server
from tests.doubles.short_http import ask_raw
from tests.doubles.tls_rig import note_log

BODY = b'{"bank":{"bankId":1,"slotNr":0},"client":{"clientId":7,"slotNr":0}}'
HEAD = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: 3", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 3"],
        [b"content-length: 80", b"TRANSFER-ENCODING: chunked"],
    ],
)
async def test_length_beside_transfer_encoding_is_refused(tmp_path: Path, fields: list[bytes]) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    behind = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with running_server(tmp_path) as service:
        request = b"POST %s/slotmaps HTTP/1.1\r\n" % V1.encode() + HEAD + b"\r\n".join(fields) + b"\r\n\r\n"
        status, body = await ask_raw(service.rest_address, request + chunked + behind)
        assert status == 400
        assert b"not both" in body
        assert b"HTTP/1.1" not in body, "the connection is closed behind the answer"
        assert service.runtime is not None
        assert not list(service.runtime.coordinator.slotmap)


@pytest.mark.parametrize("where", ["field", "fields", "path", "query"])
@pytest.mark.parametrize("length", [limits.MAX_HEAD_BYTES + 1, 60_000])
async def test_head_that_comes_in_one_piece_is_bounded_like_any_other(tmp_path: Path, where: str, length: int) -> None:
    text = b"x" * length
    start = {"path": b"/" + text, "query": b"/health?" + text}.get(where, b"/health")
    field = {"field": b"X: " + text, "fields": b"\r\n".join([b"XXXX: xx"] * (length // 6))}.get(where, b"X: y")
    async with running_server(tmp_path) as service:
        request = b"GET " + start + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + field + b"\r\n\r\n"
        assert (await ask_raw(service.rest_address, request))[0] == 400
        assert service._metrics.limits[LimitName.REST_HEAD] == 1


async def test_half_of_a_body_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, has_come = note_log(), asyncio.Event()
    original = RequestMiddleware.__call__

    async def noting(door: RequestMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        has_come.set()
        await original(door, scope, receive, send)

    monkeypatch.setattr(RequestMiddleware, "__call__", noting)
    request = b"POST %s/slotmaps HTTP/1.1\r\n" % V1.encode() + HEAD + b"Content-Length: 300\r\n\r\nabc"
    async with running_server(tmp_path) as service, dialled_raw("127.0.0.1", service.rest_address.port) as peer:
        await peer.write(request)
        await has_come.wait()
        service.request_stop()
        await service.stop()
        with contextlib.suppress(ConnectionError):
            assert await peer.read_to_end() == b""
    assert "Traceback" not in log.getvalue()
    assert "uvicorn" not in log.getvalue()


async def test_caller_that_does_not_answer_the_end_of_tls_does_not_hold_up_the_end(
    tmp_path: Path, ca: CertificateWorld
) -> None:
    """As a browser does whose machine sleeps: the library would wait for it, and then call that an error."""
    log = note_log()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def call(port: int) -> ssl.SSLSocket:
        peer = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
        peer.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert peer.recv(1024).startswith(b"HTTP/1.1 200")
        return peer

    directory = ca.credentials(SERVER).directory
    async with running_server(tmp_path, tls_dir=directory, rest_open=False, plaintext=None) as service:
        with await asyncio.to_thread(call, service.rest_address.port):
            service.request_stop()
            await service.stop()
    assert "uvicorn" not in log.getvalue()
