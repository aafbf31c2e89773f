# SPDX-License-Identifier: Apache-2.0
"""Whose mistake it was, and what a decode error tells."""

from remsim.core.errors import RemsimError
from remsim.wire.errors import DecodeError, FrameError, LocalProtocolError, ProtocolError, RemoteProtocolError


def test_our_mistakes_and_the_peers_are_different_types() -> None:
    assert issubclass(ProtocolError, RemsimError)
    assert {FrameError.__base__, DecodeError.__base__} == {RemoteProtocolError}
    assert not issubclass(LocalProtocolError, RemoteProtocolError)


def test_decode_error_says_where_as_far_as_it_was_read() -> None:
    error = DecodeError("too long", field="setAtrReq.atr", alternative=10)
    assert (str(error), error.field, error.alternative, error.tag, error.version) == (
        "too long",
        "setAtrReq.atr",
        10,
        None,
        0,
    )
