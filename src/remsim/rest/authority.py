# SPDX-License-Identifier: Apache-2.0
"""Certificates and enrolment codes in REST v2: models, and calls as values (see ``calls``)."""

from typing import Annotated, Literal

from pydantic import Field

from remsim.rest.calls import Call
from remsim.rest.models import PageOf, Time, V2Model, V2Order

IdentityText = Annotated[str, Field(examples=["bank/1", "client/7", "client/7/0"])]


class CertificateModel(V2Model):
    """A certificate that the authority beside the server has issued."""

    serial: str = Field(description="in hex", examples=["5f3a"])
    identity: str
    state: Literal["valid", "expired", "revoked"]
    issued_at: Time
    expires_at: Time
    revoked_at: Time | None = None
    reason: str | None = Field(None, description="why it was revoked")


class CodeModel(V2Model):
    """An enrolment code, without its secret."""

    id: str
    identity: str
    state: Literal["open", "used", "expired", "withdrawn"] = Field(description="withdrawn: too many wrong tries, too")
    made_at: Time
    expires_at: Time


class NewCodeModel(V2Model):
    """A code that was just made. Its text is given this once."""

    identity: str
    code: str
    expires_at: Time


class CertificatePage(PageOf[CertificateModel]):
    """Certificates."""


class CodePage(PageOf[CodeModel]):
    """Enrolment codes."""


class CodeOrder(V2Order):
    """For whom a code is to be."""

    identity: IdentityText


def list_certificates() -> Call[CertificatePage]:
    """Everything that was issued, in that order. For admins."""
    return Call("GET", "/certificates", CertificatePage)


def list_codes() -> Call[CodePage]:
    """What became of every code that is not forgotten. For admins."""
    return Call("GET", "/codes", CodePage)


def make_code(identity: str) -> Call[NewCodeModel]:
    """Make a code by which a new host gets its certificate; earlier ones that nobody used end. For admins."""
    return Call("POST", "/codes", NewCodeModel, body=CodeOrder(identity=identity))
