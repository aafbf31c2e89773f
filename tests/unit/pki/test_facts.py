# SPDX-License-Identifier: Apache-2.0
"""Certificates and revocation lists are read as ``cryptography`` reads them, and refused where they are none."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from remsim.card.tlv import encode_tlv
from remsim.core.identity import Identity
from remsim.pki import signing
from remsim.pki.errors import CertificateError
from remsim.pki.facts import (
    REVOCATION_LIST,
    decode_pem,
    encode_pem,
    read_certificate,
    read_revocation_list,
)

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
KEY = signing.make_key()
AUTHORITY = signing.make_authority(KEY, name="lab", serial=7, now=NOW, lifetime=timedelta(days=3650))
ISSUER = signing.Issuer(KEY, AUTHORITY)
REQUEST = signing.read_request(signing.make_request(KEY, "x"))
CLIENT = Identity.client(23, 0)
LEAF = ISSUER.issue(
    REQUEST, CLIENT, serial=1 << 158, now=NOW, lifetime=timedelta(days=90), hosts=["lab.example", "::1"]
)
LIST = ISSUER.revocation_list([signing.Revoked(5, NOW), signing.Revoked(200, NOW)], number=300, now=NOW)


def certificate_with(*names: str) -> bytes:
    """A certificate with these URIs."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    uris = [x509.UniformResourceIdentifier(uri) for uri in names]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(datetime(2080, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName(uris), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_certificate_of_a_host_is_read() -> None:
    der = decode_pem(LEAF)[0]
    facts, oracle = read_certificate(der), x509.load_der_x509_certificate(der)
    assert facts.identity == CLIENT
    assert facts.serial == oracle.serial_number == 1 << 158
    assert facts.not_before == oracle.not_valid_before_utc
    assert facts.not_after == oracle.not_valid_after_utc
    assert not facts.is_authority
    assert facts.hosts == ("lab.example", "::1")
    spki = oracle.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert spki.endswith(facts.public_key)
    assert facts.issuer == read_certificate(decode_pem(AUTHORITY)[0]).subject


def test_certificate_of_an_authority_names_nobody() -> None:
    facts = read_certificate(decode_pem(AUTHORITY)[0])
    assert facts.identity is None
    assert facts.hosts == ()
    assert facts.is_authority
    assert facts.serial == 7
    # Two digits of a year do not reach that far.
    assert read_certificate(certificate_with("remsim://bank/1")).not_after.year == 2080


def test_revocation_list_is_read() -> None:
    facts = read_revocation_list(decode_pem(LIST, REVOCATION_LIST)[0])
    assert facts.serials == {5, 200}
    assert facts.number == 300
    assert facts.issued_at == NOW
    assert facts.issuer == read_certificate(decode_pem(AUTHORITY)[0]).subject


def test_empty_revocation_list_is_read() -> None:
    empty = ISSUER.revocation_list([], number=1, now=NOW)
    assert read_revocation_list(decode_pem(empty, REVOCATION_LIST)[0]).serials == frozenset()


def test_other_uris_do_not_count_but_one_of_ours_must_be_right_and_single() -> None:
    assert read_certificate(certificate_with("https://x", "remsim://bank/1")).identity == Identity.bank(1)
    assert read_certificate(certificate_with("https://x")).identity is None
    with pytest.raises(CertificateError, match="several"):
        read_certificate(certificate_with("remsim://bank/1", "remsim://bank/2"))
    for uri in ("remsim://bank/01", "remsim://bank/1024", "remsim://x"):
        with pytest.raises(CertificateError, match="cannot be read"):
            read_certificate(certificate_with(uri))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b"lab.example", b"l\xe4b.example"),
        # Two addresses of 7 bytes in the place of one of IPv6.
        (encode_tlv(0x87, bytes(15) + b"\x01"), encode_tlv(0x87, bytes(7)) * 2),
    ],
    ids=["name", "address"],
)
def test_host_name_or_address_that_is_none_is_refused(right: bytes, wrong: bytes) -> None:
    der = decode_pem(LEAF)[0]
    assert right in der
    with pytest.raises(CertificateError, match="host name or address that is none"):
        read_certificate(der.replace(right, wrong))


def test_pem_comes_back_and_broken_pem_is_refused() -> None:
    assert decode_pem(encode_pem(b"\0" * 100)) == [b"\0" * 100]
    assert decode_pem(AUTHORITY + b"\n" + LEAF)[1] == decode_pem(LEAF)[0]
    with pytest.raises(CertificateError, match="no X509 CRL"):
        decode_pem(LEAF, REVOCATION_LIST)
    with pytest.raises(CertificateError, match="broken"):
        decode_pem(b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----")


@pytest.mark.parametrize("time", [b"261323000000Z", b"2611230000Z", b"20261123000000Z", b"2611230000000"])
def test_time_that_is_none_is_refused(time: bytes) -> None:
    der = decode_pem(LEAF)[0].replace(encode_tlv(0x17, b"261123115500Z"), encode_tlv(0x17, time.ljust(13)[:13]))
    with pytest.raises(CertificateError):
        read_certificate(der)


def test_list_without_number_and_other_structures_are_refused() -> None:
    der = decode_pem(LIST, REVOCATION_LIST)[0]
    with pytest.raises(CertificateError):
        read_revocation_list(der.replace(bytes.fromhex("551d14"), bytes.fromhex("551d15")))
    with pytest.raises(CertificateError):
        read_certificate(der)
    for structure in (b"", b"\x30\x00", encode_tlv(0x31, encode_tlv(0x30, b"")), encode_tlv(0x30, b"\x30\x02\x02\x00")):
        with pytest.raises(CertificateError):
            read_certificate(structure)
        with pytest.raises(CertificateError):
            read_revocation_list(structure)


SAMPLES = [decode_pem(LEAF)[0], decode_pem(AUTHORITY)[0], decode_pem(LIST, REVOCATION_LIST)[0]]


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda sample, at, raw: sample[:at] + raw + sample[at + len(raw) :],
        st.sampled_from(SAMPLES),
        st.integers(0, 600),
        st.binary(min_size=1, max_size=4),
    )
    | st.builds(lambda sample, at: sample[:at], st.sampled_from(SAMPLES), st.integers(0, 600))
)
def test_arbitrary_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (read_certificate, read_revocation_list):
        try:
            read(raw)
        except CertificateError:
            pass


@given(st.binary(max_size=200))
def test_arbitrary_text_is_pem_or_refused(text: bytes) -> None:
    try:
        decode_pem(b"-----BEGIN CERTIFICATE-----\n" + text + b"\n-----END CERTIFICATE-----")
    except CertificateError:
        pass
