# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with keys and certificates.

::

    PkiError
    ├── KeyFileError       a file is missing, unreadable, or open to others
    ├── CertificateError   bytes that are no certificate, request or revocation list of ours
    ├── AuthorityError     the authority cannot do this
    ├── AuthorityRefusalError  the authority will not do this for the one who asks
    │   └── RenewalLimitError  it has done so too often
    ├── EnrolmentError     enrolment or renewal did not come about
    └── ToolError          neither cryptography nor a working openssl program is there
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remsim.core.errors import RemsimError


class PkiError(RemsimError):
    """Base of this branch."""


class KeyFileError(PkiError):
    """A key or certificate file, or its directory, cannot be used as it is."""


class CertificateError(PkiError, ValueError):
    """Not a certificate, certificate request or revocation list, or not one of ours."""


class AuthorityError(PkiError):
    """The authority does not exist, exists already, or cannot be used as it is."""


class AuthorityRefusalError(PkiError):
    """The authority is in order; the one who asks has no right to it."""


class RenewalLimitError(AuthorityRefusalError):
    """A holder has had too many certificates of late; there is one for it again in ``wait_s`` seconds."""

    def __init__(self, message: str, *, hint: str = "", wait_s: float) -> None:
        super().__init__(message, hint=hint)
        self.wait_s = wait_s


class EnrolmentError(PkiError):
    """The server refused a code or a renewal, or could not be asked. ``status`` is its HTTP status, if any."""

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ToolError(PkiError):
    """Nothing here can make keys and requests."""


@contextmanager
def about_file(path: Path, hint: str = "restore it from a backup") -> Iterator[None]:
    """Errors about what is in ``path`` name it, and say what mends it, unless they do already."""
    try:
        yield
    except (CertificateError, KeyFileError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}", hint=error.hint or hint) from None
