# SPDX-License-Identifier: Apache-2.0
"""What a hostile server cannot make the library do."""

import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import httpx2
import pytest

from remsim.cli.rest import RestClient, RestError
from remsim.rest import AsyncRest, Rest, RestApiError, calls
from remsim.rest import client as client_module
from remsim.rest.stream import MAX_EVENT, LineReader

BASE = "http://127.0.0.1:1"


class Told(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that notes how much of it is taken."""

    def __init__(self, piece: bytes, pieces: int) -> None:
        self._piece, self._pieces = piece, pieces
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self._pieces):
            self.taken += 1
            yield self._piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def serving(body: Told, status: int = 200, encoding: str = "identity") -> httpx2.MockTransport:
    headers = {"Content-Encoding": encoding}
    return httpx2.MockTransport(lambda _request: httpx2.Response(status, headers=headers, stream=body))


async def test_compressed_answer_is_not_even_read() -> None:
    body = Told(gzip.compress(gzip.compress(bytes(1 << 20))), 1)
    transport = serving(body, encoding="gzip, gzip")
    with Rest(BASE, transport=transport) as rest:
        for call in (lambda: rest.do(calls.show_bank(1)), lambda: rest.bundle("B1:0"), lambda: next(rest.events())):
            with pytest.raises(RestApiError, match="is compressed"):
                call()
    async with AsyncRest(BASE, transport=transport) as rest_of_loop:
        with pytest.raises(RestApiError, match="is compressed"):
            await rest_of_loop.do(calls.show_bank(1))
    with RestClient(BASE, transport=transport) as old, pytest.raises(RestError, match="is compressed"):
        old.get("/clients")
    assert body.taken == 0


@pytest.mark.parametrize("status", [200, 500])
async def test_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 5000)
    with Rest(BASE, transport=serving(body := Told(bytes(1000), 100), status)) as rest:
        with pytest.raises(RestApiError, match="too long"):
            rest.bundle("B1:0")
        assert body.taken == 6
    async with AsyncRest(BASE, transport=serving(body := Told(bytes(1000), 100), status)) as rest_of_loop:
        with pytest.raises(RestApiError, match="too long"):
            await rest_of_loop.bundle("B1:0")
        assert body.taken == 6


async def test_stream_without_line_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with Rest(BASE, transport=serving(body := Told(bytes(MAX_EVENT // 2), 100))) as rest:
        with pytest.raises(RestApiError, match="too long"):
            next(rest.events())
        assert body.taken == 3
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 5000)
    async with AsyncRest(BASE, transport=serving(body := Told(bytes(1000), 100), 503)) as rest_of_loop:
        async with aclosing(rest_of_loop.events()) as events:
            with pytest.raises(RestApiError, match="too long"):
                await anext(events)
        assert body.taken == 6


def test_lines_come_out_whole_wherever_they_are_cut() -> None:
    text = "id: 1\r\ndata: é\n\ndata: x\n".encode()
    for at in range(len(text) + 1):
        reader = LineReader()
        assert reader.on_bytes(text[:at]) + reader.on_bytes(text[at:]) == ["id: 1", "data: é", "", "data: x"]
    reader = LineReader()
    assert reader.on_bytes(b"y" * MAX_EVENT) == []
    with pytest.raises(RestApiError, match="too long"):
        reader.on_bytes(b"y")
