# SPDX-License-Identifier: Apache-2.0
"""Causes in words: nothing that a person reads has a number of the system or a name of a library in it."""

import errno
import os
import socket
import ssl

import pytest

from remsim.causes import CLOSED_IN_HANDSHAKE, CLOSED_WITHOUT_A_WORD, cause_of, hint_of


@pytest.mark.parametrize(
    "number",
    [
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH),
        *(errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ECONNABORTED),
    ],
    ids=errno.errorcode.get,
)
def test_error_of_the_system_has_words_and_a_hint(number: int) -> None:
    error = OSError(number, os.strerror(number))
    several = OSError(f"Multiple exceptions: [Errno {number}] Connect call failed, [Errno 99] other")
    for cause in (cause_of(error), cause_of(several), cause_of(RuntimeError(f"[Errno {number}] text"))):
        assert "Errno" not in cause.words
        assert cause.hint
        assert hint_of(cause.words) == cause.hint


def test_name_that_is_not_known() -> None:
    cause = cause_of(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    assert cause.words == "the host name is not known"
    assert hint_of(cause.words)


@pytest.mark.parametrize(
    "alert",
    [
        *("UNKNOWN_CA", "CERTIFICATE_REQUIRED", "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED", "BAD_CERTIFICATE"),
        *("UNSUPPORTED_CERTIFICATE", "CERTIFICATE_UNKNOWN", "ACCESS_DENIED", "DECRYPT_ERROR", "INTERNAL_ERROR"),
        *("PROTOCOL_VERSION", "HANDSHAKE_FAILURE", "NO_APPLICATION_PROTOCOL", "UNRECOGNIZED_NAME"),
    ],
)
def test_alert_has_words_and_a_hint(alert: str) -> None:
    error = ssl.SSLError(1, "text")
    error.reason = f"TLSV1_ALERT_{alert}"
    cause = cause_of(error)
    assert "_" not in cause.words
    assert alert not in cause.words
    assert cause.hint


def test_what_closes_within_the_handshake_may_be_the_port_for_plain_tcp() -> None:
    assert "plain TCP" in hint_of(CLOSED_IN_HANDSHAKE.words)


def test_what_closes_without_a_word_may_want_a_certificate() -> None:
    assert "remsim enroll" in hint_of(CLOSED_WITHOUT_A_WORD.words)
