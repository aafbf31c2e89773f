# SPDX-License-Identifier: Apache-2.0
"""Targets: what proves who somebody is. Certificates, revocation lists, identities, codes, tokens, enrolment."""

import atexit
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from remsim.core.identity import SCHEME, Identity
from remsim.core.identity import Role as IdentityRole
from remsim.pki.codes import EnrolmentCode
from remsim.pki.enrolment_service import EnrolmentService, EnrolmentServiceError
from remsim.pki.facts import REVOCATION_LIST, decode_pem, encode_pem, read_certificate, read_revocation_list
from remsim.server.api.judging import cookie_of
from remsim.server.core.tokens import (
    Grant,
    Refusal,
    StoredToken,
    TokenRole,
    bearer_token,
    check_token,
    make_token,
    token_id_of,
)
from tests.doubles.certificates import CertificateWorld

_SPKI: Final = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
#: How ``cryptography`` says no, besides ValueError; it looks at many things only when they are asked for.
_REFUSED: Final = (
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_KEY_END: Final = 32
_NOW: Final = 1.0e9


def certificates(raw: bytes) -> None:
    """What is read is what ``cryptography`` reads; an identity that we see is one that it sees."""
    facts = read_certificate(raw)
    assert facts.identity is None or facts.identity.uri.startswith(SCHEME)
    assert decode_pem(encode_pem(raw)) == [raw]
    try:
        oracle = x509.load_der_x509_certificate(raw)
        times = oracle.not_valid_before_utc, oracle.not_valid_after_utc
        names = oracle.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        # A key that it does not know is nothing to compare with.
        public = oracle.public_key().public_bytes(*_SPKI)
    except (ValueError, TypeError, UnsupportedAlgorithm, *_REFUSED):
        return
    assert facts.serial == oracle.serial_number
    assert (facts.not_before, facts.not_after) == times
    uris = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(SCHEME)]
    assert uris == ([] if facts.identity is None else [facts.identity.uri])
    # Written anew, the rest may have another form: the key itself is what stands at the end.
    assert facts.public_key[-_KEY_END:] == public[-_KEY_END:]


def revocation_lists(raw: bytes) -> None:
    """What is read is what ``cryptography`` reads."""
    facts = read_revocation_list(raw)
    assert decode_pem(encode_pem(raw, REVOCATION_LIST), REVOCATION_LIST) == [raw]
    try:
        oracle = x509.load_der_x509_crl(raw)
        serials = frozenset(entry.serial_number for entry in oracle)
        number = oracle.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        issued_at = oracle.last_update_utc
    except (ValueError, TypeError, UnsupportedAlgorithm, *_REFUSED):
        return
    assert (facts.serials, facts.number, facts.issued_at) == (serials, number, issued_at)


def pem_texts(raw: bytes) -> None:
    """Blocks come back as they were."""
    blocks = decode_pem(raw)
    assert decode_pem(b"".join(map(encode_pem, blocks))) == blocks


def identities(raw: bytes) -> None:
    """Each identity has one spelling, which can be printed."""
    text = raw.decode("utf-8", "replace")
    identity = Identity.parse(text)
    assert text in (str(identity), identity.uri)
    assert Identity.parse(str(identity)) == identity == Identity.parse(identity.uri)
    assert str(identity).isprintable()


def enrolment_codes(raw: bytes) -> None:
    """Each code has one spelling, and is not shown when it is printed by mistake."""
    text = raw.decode("utf-8", "replace")
    code = EnrolmentCode.parse(text)
    assert code.to_text() == text.strip()
    assert text.strip().split(":")[2] not in repr(code)


@cache
def stored_token() -> tuple[str, StoredToken]:
    """A token that is good, and its record."""
    return make_token(bytes(6), bytes(range(32)), name="test", role=TokenRole.VIEWER, now=_NOW)


def session_cookies(raw: bytes) -> None:
    """Whatever stands in the header, a session is one of its values, without what surrounds it."""
    scope = {"type": "http", "scheme": "https", "server": ("::1", 9997), "headers": [(b"cookie", raw)]}
    found = cookie_of(scope)
    assert found is None or (found == found.strip() and ";" not in found and found.encode("latin-1") in raw)


def token_headers(raw: bytes) -> None:
    """A header is no token, a wrong one, or the good one to the letter. Nothing raises."""
    good, stored = stored_token()
    text = bearer_token(raw.decode("latin-1"))
    if text is None:
        return
    assert text == text.strip() != ""
    token_id = token_id_of(text)
    result = check_token(text, lambda wanted: stored if wanted == stored.token_id else None, _NOW)
    assert isinstance(result, Grant) is (text == good)
    assert (result is Refusal.MALFORMED) is (token_id is None)


@cache
def _world() -> CertificateWorld:
    folder = tempfile.TemporaryDirectory(prefix="remsim-targets-")
    atexit.register(folder.cleanup)
    return CertificateWorld(Path(folder.name))


def enrolments(raw: bytes) -> None:
    """A body is refused with a status that the router knows: nobody was given a code or a certificate here."""
    if not raw:
        return
    service, now = EnrolmentService(_world().authority), _world().now
    try:
        body: object = json.loads(raw[1:])
    except (ValueError, RecursionError):
        # Refused by the router.
        return
    try:
        match raw[0] % 3:
            case 0:
                service.anchor(body)
            case 1:
                service.certify(body, now=now)
            case _:
                service.renew(body, now=now)
    except EnrolmentServiceError as refusal:
        if refusal.status not in (400, 403):
            raise AssertionError(f"the router does not know status {refusal.status}") from None
        raise
    raise AssertionError("an unauthenticated peer was served")


def planted(raw: bytes) -> None:
    """Reads identities, and fails at that of a bank."""
    identity = Identity.parse(raw.decode("utf-8", "replace"))
    if identity.role is IdentityRole.BANK:
        raise AssertionError("the planted fault")
