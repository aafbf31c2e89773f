# SPDX-License-Identifier: Apache-2.0
"""Target: what a pcscd, or something else behind its socket, sends to a client."""

from collections.abc import Callable
from typing import Final

from remsim.readers.pcscd.client import PcscdClient, Reply
from remsim.readers.pcscd.protocol import MAX_DATA, MAX_ROWS, ROW, ReaderTable
from tests.fuzz.target import cut

_CARD: Final = 0x20001
_CONTEXT: Final = 0x10001
#: What a client can ask for, by number.
REQUESTS: Final[tuple[Callable[[PcscdClient], object], ...]] = (
    lambda client: client.establish(),
    lambda client: client.release(_CONTEXT),
    lambda client: client.connect(_CONTEXT, "Reader 00 00", 1, 1),
    lambda client: client.reconnect(_CARD, 1, 1, 2),
    lambda client: client.disconnect(_CARD, 2),
    lambda client: client.begin(_CARD),
    lambda client: client.end(_CARD, 0),
    lambda client: client.transmit(_CARD, 1, bytes(5)),
    lambda client: client.control(_CARD, 0x42000D48, b""),
    lambda client: client.status(_CARD),
    lambda client: client.cancel(_CONTEXT),
    lambda client: client.attribute(_CARD, 0x20110),
    lambda client: client.table(),
    lambda client: client.wait(),
    lambda client: client.stop_waiting(),
    lambda client: client.version(4),
)
_MOST_REQUESTS: Final = 16


def asking(minor: int, requests: bytes) -> PcscdClient:
    """A client of version 4:``minor`` that has asked for these; one that is not possible now is left out."""
    client = PcscdClient()
    client.minor = minor
    for number in requests:
        try:
            REQUESTS[number % len(REQUESTS)](client)
        except RuntimeError:
            continue
    return client


def heard(client: PcscdClient, pieces: list[bytes]) -> tuple[list[Reply], str]:
    """The replies in these pieces, and why the client refused what came behind them ("": it did not)."""
    replies: list[Reply] = []
    for piece in pieces:
        response = client.response_in(piece)
        replies += client.receive(piece) if response is None else [response]
    return replies, str(client.trouble or "")


def pcscd_replies(raw: bytes) -> None:
    """Replies are the same however they arrive, and nothing that arrives does more than be refused."""
    if len(raw) < 2:
        return
    minor, count = 4 + raw[0] % 3, raw[1] % _MOST_REQUESTS
    requests, pieces = raw[2 : 2 + count], cut(raw[2 + count :])
    stream = b"".join(pieces)
    replies, refusal = heard(asking(minor, requests), pieces)
    singly, refused = heard(asking(minor, requests), [bytes((byte,)) for byte in stream])
    assert (_plain(replies), refusal) == (_plain(singly), refused)
    for reply in replies:
        for value in _plain([reply])[0]:
            assert not isinstance(value, bytes) or len(value) <= max(MAX_DATA, MAX_ROWS * ROW.size)


def _plain(replies: list[Reply]) -> list[tuple[object, ...]]:
    """Replies as values that can be compared."""
    return [
        ("response", reply)
        if isinstance(reply, bytes)
        else (type(reply).__name__, *(tuple(value) if isinstance(value, ReaderTable) else value for value in reply))
        for reply in replies
    ]
