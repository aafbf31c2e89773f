# SPDX-License-Identifier: Apache-2.0
"""What cannot be read is refused as documented, also where ``cryptography`` raises something else than ValueError."""

from datetime import UTC, datetime, timedelta

import pytest

from remsim.pki import signing
from remsim.pki.errors import CertificateError
from remsim.pki.facts import CERTIFICATE, REVOCATION_LIST, decode_pem, encode_pem

REQUEST = "CERTIFICATE REQUEST"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEY = signing.make_key()
AUTHORITY = signing.make_authority(KEY, name="lab", serial=7, now=NOW, lifetime=timedelta(days=1))


def with_version(pem: bytes, label: str, version: int) -> bytes:
    """The same with another version number, which is its first INTEGER of one byte."""
    der = bytearray(decode_pem(pem, label)[0])
    at = der.index(b"\x02\x01")
    der[at + 2] = version
    return encode_pem(bytes(der), label)


def test_request_of_an_impossible_version_is_refused() -> None:
    request = signing.make_request(KEY, "x")
    assert signing.read_request(with_version(request, REQUEST, 0)).public_bytes
    with pytest.raises(CertificateError, match="no certificate request that we understand"):
        signing.read_request(with_version(request, REQUEST, 7))


def test_certificate_of_an_impossible_version_is_refused() -> None:
    signature = signing.sign(KEY, b"x")
    assert signing.is_signed_by(with_version(AUTHORITY, CERTIFICATE, 2), signature, b"x")
    with pytest.raises(CertificateError, match="no certificate in PEM form"):
        signing.is_signed_by(with_version(AUTHORITY, CERTIFICATE, 7), signature, b"x")


def test_list_of_an_impossible_version_is_refused() -> None:
    revocations = signing.Issuer(KEY, AUTHORITY).revocation_list([], number=1, now=NOW)
    assert signing.is_list_signed_by(with_version(revocations, REVOCATION_LIST, 1), AUTHORITY)
    with pytest.raises(CertificateError, match="no revocation list"):
        signing.is_list_signed_by(with_version(revocations, REVOCATION_LIST, 7), AUTHORITY)
