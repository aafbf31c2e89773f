# SPDX-License-Identifier: Apache-2.0
"""The enrolment protocol: what a new host asks the server, as JSON values, and what it is answered.

Three requests, each a POST of one JSON object:

``/enrolment/anchor``       ``{"code": ID}`` gives ``{"authority": PEM}``. The host asks it over a connection that it
                            cannot trust yet, and believes the answer if its SHA-256 is that of the code.
``/enrolment/certificate``  ``{"identity", "code", "secret", "request"}`` gives ``{"certificate", "authority",
                            "revocations"}``. The host sends it over a connection that the anchor vouches for.
``/enrolment/renewal``      ``{"certificate", "request", "signature"}`` gives the same. The signature is that of the old
                            key; no code is needed.

A host with neither a code nor a certificate gets nothing. Knows no HTTP: ``EnrolmentServiceError`` has a status, and
the router makes an answer of it.
"""

from collections.abc import Mapping
from typing import Final

from remsim.core.errors import RemsimError
from remsim.core.identity import Identity
from remsim.core.limits import LimitName
from remsim.pki import codes, files
from remsim.pki.authority import Authority
from remsim.pki.errors import AuthorityRefusalError, CertificateError, EnrolmentError, RenewalLimitError
from remsim.pki.ledger import Issued

#: A request or certificate of ours has less than 2 000 bytes.
MAX_PEM_CHARACTERS: Final = 16 * 1024
#: An ECDSA signature of P-256 has at most 72.
MAX_SIGNATURE_BYTES: Final = 128

Json = dict[str, str]


class EnrolmentServiceError(EnrolmentError):
    """A request that is refused, which counts as a failed attempt of its source, whatever is wrong with it.

    ``limit`` is the limit that was reached, and ``wait_s`` the time after which it may be tried again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        hint: str = "",
        limit: LimitName | None = None,
        wait_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, status=status)
        self.limit = limit
        self.wait_s = wait_s


class Issuance:
    """An answer, and for the log who got it."""

    def __init__(self, issued: Issued, answer: Json, *, how: str) -> None:
        self.issued = issued
        self.answer = answer
        self.how = how


class EnrolmentService:
    """Answers requests for one authority. Blocks for milliseconds: it signs and writes.

    Raises PkiError, besides what the methods say, where the authority's files cannot be used.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def proof(self, body: object, *, now: float) -> str | None:
        """What a request shows that cannot be guessed: the name of a good code or a good certificate; None: neither.

        Costs a look into the ledger. Says nothing of whether the request will be granted.
        """
        if not isinstance(body, Mapping):
            return None
        code, certificate = body.get("code"), body.get("certificate")
        try:
            if isinstance(code, str):
                code_id = _bytes(code, codes.CODE_ID_BYTES)
                return f"code {code_id.hex()}" if self._authority.is_good_code(code_id, now=now) else None
            if isinstance(certificate, str):
                serial = self._authority.serial_if_good(_pem(certificate), now=now)
                return None if serial is None else f"certificate {serial:x}"
        except (EnrolmentServiceError, CertificateError):
            return None
        return None

    def anchor(self, body: object) -> Json:
        """The authority's certificate, for a host that knows the name of a code. Raises EnrolmentServiceError."""
        members = _members(body, "code")
        if not self._authority.knows_code(_bytes(members["code"], codes.CODE_ID_BYTES)):
            raise EnrolmentServiceError(403, "the code is not valid", hint="is it a code of this very server?")
        return {"authority": self._authority.certificate.decode()}

    def certify(self, body: object, *, now: float) -> Issuance:
        """A certificate for a host with a good code. Raises EnrolmentServiceError."""
        members = _members(body, "identity", "code", "secret", "request")
        try:
            verdict, issued = self._authority.redeem(
                _identity(members["identity"]),
                _bytes(members["code"], codes.CODE_ID_BYTES),
                _bytes(members["secret"], codes.SECRET_BYTES),
                _pem(members["request"]),
                now=now,
            )
        except CertificateError as error:
            raise EnrolmentServiceError(400, str(error)) from None
        if issued is None:
            raise EnrolmentServiceError(403, verdict.text, hint="make a new one with: remsim pki code")
        return Issuance(issued, self._answer(issued), how=verdict.name.lower())

    def renew(self, body: object, *, now: float) -> Issuance:
        """A new certificate for a host that has one. Raises EnrolmentServiceError."""
        members = _members(body, "certificate", "request", "signature")
        try:
            signature = bytes.fromhex(members["signature"][: 2 * MAX_SIGNATURE_BYTES])
            issued = self._authority.renew(_pem(members["certificate"]), _pem(members["request"]), signature, now=now)
        except CertificateError as error:
            raise EnrolmentServiceError(400, str(error)) from None
        except ValueError:
            raise EnrolmentServiceError(400, "the signature is not written in hex") from None
        except RenewalLimitError as error:
            limit = LimitName.RENEWALS
            text, hint = str(error), error.hint
            raise EnrolmentServiceError(429, text, hint=hint, limit=limit, wait_s=error.wait_s) from None
        except AuthorityRefusalError as error:
            raise EnrolmentServiceError(403, str(error), hint=error.hint) from None
        return Issuance(issued, self._answer(issued), how="renewed")

    def _answer(self, issued: Issued) -> Json:
        return {
            "certificate": issued.pem.decode(),
            "authority": self._authority.certificate.decode(),
            "revocations": files.read_public(self._authority.list_file).decode(),
        }


def _members(body: object, *names: str) -> dict[str, str]:
    if not isinstance(body, Mapping):
        raise EnrolmentServiceError(400, "the body is no JSON object")
    found: dict[str, str] = {}
    for name in names:
        value = body.get(name)
        if not isinstance(value, str):
            raise EnrolmentServiceError(400, f"{name} is missing, or no string")
        found[name] = value
    return found


def _identity(text: str) -> Identity:
    try:
        return Identity.parse(text)
    except RemsimError as error:
        raise EnrolmentServiceError(400, str(error), hint=error.hint) from None


def _bytes(text: str, length: int) -> bytes:
    try:
        return codes.decode_bytes(text, length)
    except EnrolmentError as error:
        raise EnrolmentServiceError(400, str(error), hint=error.hint) from None


def _pem(text: str) -> bytes:
    if len(text) > MAX_PEM_CHARACTERS or not text.isascii():
        raise EnrolmentServiceError(400, f"a PEM text has at most {MAX_PEM_CHARACTERS} ASCII characters")
    return text.encode()
