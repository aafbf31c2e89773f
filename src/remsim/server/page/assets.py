# SPDX-License-Identifier: Apache-2.0
"""The files of the page: scripts and styles, from the package, with their hashes. ``static/ORIGINS.toml`` says whence.

Nothing here knows who asks: everybody may have them. A file's address carries its hash, so browsers keep it for good.
"""

import gzip
import hashlib
from functools import cache
from importlib import resources
from typing import Final

from remsim.core.values import dataclass

PREFIX: Final = "/page/static"
#: Names, and what they are.
TYPES: Final = {
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "hx-sse.min.js": "text/javascript; charset=utf-8",
    "login.js": "text/javascript; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "orders.js": "text/javascript; charset=utf-8",
    "walls.js": "text/javascript; charset=utf-8",
    "mapping.js": "text/javascript; charset=utf-8",
    "bulk.js": "text/javascript; charset=utf-8",
    "thing.js": "text/javascript; charset=utf-8",
    "trace.js": "text/javascript; charset=utf-8",
    "join.js": "text/javascript; charset=utf-8",
    "dialogs.js": "text/javascript; charset=utf-8",
    "leases.js": "text/javascript; charset=utf-8",
    "webhooks.js": "text/javascript; charset=utf-8",
    "uplot.min.js": "text/javascript; charset=utf-8",
    "uplot.min.css": "text/css; charset=utf-8",
    "latency.js": "text/javascript; charset=utf-8",
}
ASSET_PATHS: Final = frozenset(f"{PREFIX}/{name}" for name in TYPES)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    name: str
    media_type: str
    content: bytes
    compressed: bytes
    #: The beginning of its SHA-256, in hex.
    stamp: str

    @property
    def address(self) -> str:
        """Where this very content is found."""
        return f"{PREFIX}/{self.name}?v={self.stamp}"


@cache
def asset(name: str) -> Asset:
    """The file with this name. Raises KeyError."""
    media_type = TYPES[name]
    content = resources.files("remsim.server.page").joinpath("static", name).read_bytes()
    stamp = hashlib.sha256(content).hexdigest()[:16]
    return Asset(name, media_type, content, gzip.compress(content, 9, mtime=0), stamp)
