# SPDX-License-Identifier: Apache-2.0
"""The least card that vpcd accepts: it has an ATR and knows no command. ``python -m tests.doubles.vpcd_card PORT ATR``.

With ``silent`` behind that, it answers no command at all.

vpcd's protocol: each message is a length of two bytes, big-endian, and its body. From vpcd, a body of one byte is a
control (0 power off, 1 power on, 2 reset, 4 tell your ATR; only the last is answered), a longer one a command.
"""

import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

_GET_ATR: Final = b"\x04"
_CONTROLS: Final = (b"\x00", b"\x01", b"\x02", _GET_ATR)

#: TS 102 221, clause 10.2.1.5.4: the instruction code is not known.
_UNKNOWN_INS: Final = b"\x6d\x00"


def _read_exactly(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = link.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def answer(body: bytes, atr: bytes, *, is_silent: bool) -> bytes | None:
    """What the card says to one message of vpcd; None if nothing."""
    if body == _GET_ATR:
        return atr
    return None if is_silent or body in _CONTROLS else _UNKNOWN_INS


def serve(port: int, answer: Callable[[bytes], bytes | None]) -> None:
    """Be a card in the reader that waits on ``port`` until vpcd hangs up."""
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                body = _read_exactly(link, int.from_bytes(_read_exactly(link, 2), "big"))
            except EOFError:
                return
            reply = answer(body)
            if reply is not None:
                link.sendall(len(reply).to_bytes(2, "big") + reply)


if __name__ == "__main__":
    serve(int(sys.argv[1]), partial(answer, atr=bytes.fromhex(sys.argv[2]), is_silent="silent" in sys.argv))
