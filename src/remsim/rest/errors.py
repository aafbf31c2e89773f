# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with a call."""

import json

from remsim.core.errors import RemsimError


class RestApiError(RemsimError):
    """The server could not be asked, or said no.

    ``status`` is its HTTP status, None if there was no answer; ``code`` is the problem's, for programs.
    """

    def __init__(self, message: str, *, hint: str = "", status: int | None = None, code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        if status is not None:
            self.json_code = code or str(status)


def refusal(status: int, content: bytes) -> RestApiError:
    """The error in a problem (RFC 9457), or in the bare status of a server that knows no v2."""
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and isinstance(value.get("detail"), str):
        hint, code = value.get("hint"), value.get("code")
        return RestApiError(
            f"{value['detail']} (HTTP {status})",
            hint=hint if isinstance(hint, str) else "",
            status=status,
            code=code if isinstance(code, str) else "",
        )
    return RestApiError(f"the server answers HTTP {status}", hint="is it a remsim server with REST v2?", status=status)
