# SPDX-License-Identifier: Apache-2.0
"""Failures of TLS in words, and whom a link may lead to."""

import ssl

import pytest

from remsim.identity import Identity, Role
from remsim.net.tls import Expectation, HandshakeError, explain


class Failure(ssl.SSLError):
    """An error as the library raises it."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(1, f"[SSL: {reason}] text (_ssl.c:1000)")
        self.reason = reason  # type: ignore[assignment]  # None where the library has no name for it


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "the peer demands a certificate"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "the peer refuses our certificate: it is revoked"),
        ("TLSV1_ALERT_INTERNAL_ERROR", "the peer broke off: internal error"),
        ("WRONG_VERSION_NUMBER", "the peer does not speak TLS"),
        ("NO_SHARED_CIPHER", "TLS failed: no shared cipher"),
        (None, "TLS failed: Failure"),
    ],
)
def test_library_error_becomes_one_line_without_numbers(reason: str | None, words: str) -> None:
    assert explain(Failure(reason)) == words


def test_certificate_error_names_what_is_wrong() -> None:
    error = ssl.SSLCertVerificationError(1, "text")
    error.verify_code, error.verify_message = 10, "certificate has expired"
    assert explain(error) == "the peer's certificate is refused: it has expired"
    error.verify_code, error.verify_message = 99, "something rare"
    assert explain(error) == "the peer's certificate is refused: something rare"


def test_other_errors_keep_their_words() -> None:
    assert explain(ConnectionResetError("reset")) == "reset"
    assert explain(ConnectionResetError()) == "ConnectionResetError"


def test_expectation_names_who_came_and_who_was_wanted() -> None:
    anybody = Expectation.of(Role.BANK, Role.CLIENT)
    anybody.check(Identity.bank(1))
    with pytest.raises(HandshakeError, match="the peer is server/lab, no bank or client"):
        anybody.check(Identity.server("lab"))
    one_slot = Expectation.exactly(Identity.client(23, 0))
    one_slot.check(Identity.client(23))
    with pytest.raises(HandshakeError, match="the peer is client/22, not client/23/0"):
        one_slot.check(Identity.client(22))
