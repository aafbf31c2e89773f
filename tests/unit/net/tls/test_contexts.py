# SPDX-License-Identifier: Apache-2.0
"""Failures of TLS in words, and whom a link may lead to."""

import ssl

import pytest

from remsim.core.identity import Identity, Role
from remsim.net.tls.contexts import GREETING_BYTES, Expectation, HandshakeError, explain, greeting_fault


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


@pytest.mark.parametrize("version", ["0301", "0303"])
def test_greeting_of_a_tls_client_can_be_one_from_the_first_byte_on(version: str) -> None:
    greeting = bytes.fromhex(f"16{version}00f1010000ed0303")
    assert len(greeting) > GREETING_BYTES
    assert [greeting_fault(greeting[:count]) for count in range(len(greeting) + 1)] == [""] * (len(greeting) + 1)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"GET / HTTP/1.1", "the peer speaks HTTP, not TLS"),
        (b"POST /x", "the peer speaks HTTP, not TLS"),
        (b"GE", "the peer does not speak TLS"),
        (bytes.fromhex("0005ee07"), "the peer does not speak TLS"),  # RSPRO
        (bytes.fromhex("150301000201"), "the peer does not speak TLS"),  # an alert
        (bytes.fromhex("1602"), "the peer does not speak TLS"),
        (bytes.fromhex("160301410001"), "the peer does not speak TLS"),  # a record that is too long
        (bytes.fromhex("16030100f102"), "the peer does not speak TLS"),  # a ServerHello
    ],
)
def test_what_cannot_be_the_greeting_of_a_tls_client_is_told(raw: bytes, fault: str) -> None:
    assert greeting_fault(raw) == fault
