# SPDX-License-Identifier: Apache-2.0
"""Whose mistake it was.

::

    ProtocolError
    ├── LocalProtocolError     we were about to send something illegal: always a bug of ours
    └── RemoteProtocolError    the peer sent something illegal
        ├── FrameError         the byte stream cannot be followed any more: the link must be closed
        │   └── FrameSizeError   a frame is longer than the peer may send
        └── DecodeError        one frame is no RSPRO PDU: the frame can be skipped, the stream is sound
"""

from remsim.core.errors import RemsimError


class ProtocolError(RemsimError):
    """Base of everything that concerns the wire."""


class LocalProtocolError(ProtocolError):
    """A message that must not be sent: out of range, too long, or lethal to a classic peer."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""


class FrameError(RemoteProtocolError):
    """IPA framing is broken (empty frame, unknown protocol): nothing after it can be trusted."""


class FrameSizeError(FrameError):
    """A frame that is longer than the limit."""


class DecodeError(RemoteProtocolError):
    """A payload that is not an RSPRO PDU: bad BER, wrong structure, value out of range.

    ``alternative`` is the number of the PDU alternative, ``tag`` the operation tag and ``version`` the version where
    they could still be read, else None, None and 0; ``field`` is the dotted path of the offending field. Together
    they let a coordinator answer with a fitting result code.
    """

    def __init__(self, message: str, *, field: str = "", alternative: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.alternative = alternative
        self.tag: int | None = None
        self.version = 0
