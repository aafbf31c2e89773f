# SPDX-License-Identifier: Apache-2.0
"""Calls to REST, and what becomes of every kind of refusal."""

import json
from collections.abc import Callable, Iterator

import httpx2
import pytest

from remsim.cli import rest as rest_module
from remsim.cli.rest import RestClient, RestError, base_url, mapping_object, slotmap_id
from remsim.core.errors import ConfigError
from remsim.core.ids import BankSlot, ClientSlot

Answer = Callable[[httpx2.Request], httpx2.Response]


def client(answer: Answer, *, token: str | None = None) -> RestClient:
    return RestClient("http://h:1", token=token, transport=httpx2.MockTransport(answer))


def answering(status: int = 200, content: bytes = b"", *, seen: list[httpx2.Request] | None = None) -> Answer:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        return httpx2.Response(status, content=content)

    return answer


def failing(error: type[httpx2.RequestError], text: str = "") -> Answer:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise error(text, request=request)

    return answer


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h:1", "http://h:1"),
        ("http://h:1/", "http://h:1"),
        ("https://h/api/backend/v1", "https://h"),
        ("h", "http://h:9997"),
        ("[::1]:5", "http://[::1]:5"),
    ],
)
def test_server_may_be_named_in_several_ways(text: str, url: str) -> None:
    assert base_url(text) == url


@pytest.mark.parametrize("text", ["ftp://h", "http://", "http://h:0", "http://h:x", "http://[::1", "a b"])
def test_server_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        base_url(text)


def test_calls_are_those_of_rest_v1() -> None:
    seen: list[httpx2.Request] = []
    with client(answering(seen=seen), token="t") as rest:
        rest.create_mapping(BankSlot(1, 2), ClientSlot(7, 0))
        rest.delete_mapping(BankSlot(1, 2))
        rest.global_reset()
    paths = [(request.method, request.url.path) for request in seen]
    assert paths == [
        ("POST", "/api/backend/v1/slotmaps"),
        ("DELETE", "/api/backend/v1/slotmaps/65538"),
        ("POST", "/api/backend/v1/global-reset"),
    ]
    assert seen[0].headers["content-type"] == "application/json"
    assert seen[0].headers["authorization"] == "Bearer t"
    assert json.loads(seen[0].content) == mapping_object(BankSlot(1, 2), ClientSlot(7, 0))


def test_mapping_is_named_by_a_number() -> None:
    assert slotmap_id(BankSlot(1023, 1023)) == 67044351


def test_lists_and_objects_are_read() -> None:
    with client(answering(content=b'{"banks": [{"peer": "B1"}]}')) as rest:
        assert rest.get_list("banks") == [{"peer": "B1"}]
    with client(answering()) as rest:
        assert rest.get("/banks/7") is None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"banks": 1}', b'{"banks": [1]}', b"[]", b"nonsense", b"\xff", b"[" * 99999]
)
def test_answer_that_is_no_list_is_told(content: bytes) -> None:
    with client(answering(content=content)) as rest, pytest.raises(RestError):
        rest.get_list("banks")


class Endless(httpx2.SyncByteStream):
    """A body that goes on; counts what was taken of it."""

    taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.taken += 1
            yield b"x"


@pytest.mark.parametrize("status", [200, 500])
def test_no_more_of_an_answer_is_taken_than_allowed(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(rest_module, "MAX_ANSWER_BYTES", 5)
    body = Endless()
    with (
        client(lambda _request: httpx2.Response(status, stream=body)) as rest,
        pytest.raises(RestError, match="too long"),
    ):
        rest.get("/banks")
    assert body.taken == 6


@pytest.mark.parametrize(
    ("status", "content", "message", "hint"),
    [
        (
            409,
            b'{"error": {"code": "x", "message": "B1:0 is mapped", "hint": "unmap"}}',
            "B1:0 is mapped (HTTP 409)",
            "unmap",
        ),
        (401, b'{"error": {"message": "no"}}', "no (HTTP 401)", "put one into REMSIM_TOKEN"),
        (
            404,
            b"Resource not found",
            "the server does not know it (HTTP 404)",
            "is that the REST of a remsim server? It is at port 9997 by default",
        ),
        (400, b"", "the server does not accept the request (HTTP 400)", ""),
        (500, b'{"error": "x"}', "the server failed (HTTP 500)", ""),
        (302, b"[]", "the server failed (HTTP 302)", ""),
    ],
)
def test_refusal_has_the_servers_reason(status: int, content: bytes, message: str, hint: str) -> None:
    with client(answering(status, content)) as rest, pytest.raises(RestError) as caught:
        rest.global_reset()
    assert (str(caught.value), caught.value.hint, caught.value.status) == (message, hint, status)
    assert caught.value.exit_status == 1


@pytest.mark.parametrize(
    ("error", "text", "message"),
    [
        (
            httpx2.ConnectError,
            "[Errno 111] Connection refused",
            "cannot reach http://h:1: nothing listens at that address and port",
        ),
        (httpx2.ReadError, "", "cannot reach http://h:1: ReadError"),
        (httpx2.ReadTimeout, "", "http://h:1 does not answer"),
        (httpx2.RemoteProtocolError, "", "http://h:1 does not speak plain HTTP"),
    ],
)
def test_server_that_cannot_be_asked_is_told(error: type[httpx2.RequestError], text: str, message: str) -> None:
    with client(failing(error, text)) as rest, pytest.raises(RestError) as caught:
        rest.get("/banks")
    assert str(caught.value) == message
    assert caught.value.hint
    assert caught.value.status is None
