# SPDX-License-Identifier: Apache-2.0
"""An access token as HTTP carries it."""

import re
from typing import Final

from remsim.core.errors import ConfigError

#: RFC 6750, clause 2.1, and no more of it than a header may hold in any case.
_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)


def bearer(token: str) -> str:
    """The value of the header Authorization. Raises ConfigError for what no header can hold, without showing it.

    Blanks and line ends around a token come from files and from copying, and are left out. The HTTP library would
    refuse them, and quote the whole header in its error.
    """
    bare = token.strip()
    if _VISIBLE.fullmatch(bare) is None:
        what = "is empty" if not bare else "has a character that no token has"
        raise ConfigError(f"the access token {what}", hint="copy it again, as remsim token create has printed it")
    return f"Bearer {bare}"
