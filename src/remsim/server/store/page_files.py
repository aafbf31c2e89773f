# SPDX-License-Identifier: Apache-2.0
"""What the page keeps beside the database: sessions over a restart, and one file for each login link.

The command line makes a link's file, next to a running server, and the login that uses the link removes it: removing a
file succeeds once. Nothing in these files logs anybody in: they hold hashes.
"""

import secrets
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from remsim.config import ServerConfig
from remsim.pki import files
from remsim.pki.credentials import Credentials
from remsim.pki.errors import KeyFileError
from remsim.server.core.page_sessions import (
    LINK_ID_BYTES,
    PAGE_SECRET_BYTES,
    LoginLink,
    PageFileError,
    link_id_of,
    make_link,
)

_FOLDER: Final = "page"
_SESSIONS: Final = "sessions.json"


class PageFiles:
    """Those of the server with this state directory. Everything blocks."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / _FOLDER

    def read_sessions(self) -> str | None:
        """What was written last; None: nothing. Raises KeyFileError."""
        path = self._folder / _SESSIONS
        if not path.exists():
            return None
        return files.read_private(path).decode("utf-8", "replace")

    def write_sessions(self, text: str) -> None:
        """Keep this. Raises KeyFileError."""
        files.make_private_directory(self._folder)
        files.write_private(self._folder / _SESSIONS, text.encode())

    def add_link(self, token_id: str) -> str:
        """Make a link for a token; returns the text at its end. Links that have expired go. Raises KeyFileError."""
        files.make_private_directory(self._folder)
        now = time.time()
        text, link = make_link(
            secrets.token_bytes(LINK_ID_BYTES), secrets.token_bytes(PAGE_SECRET_BYTES), token_id, now
        )
        for path in self._folder.glob("link-*.json"):
            old = self._read_link(path)
            if old is None or old.expires_at <= now:
                path.unlink(missing_ok=True)
        files.write_private(self._path(link.link_id), link.to_json().encode())
        return text

    def take_link(self, text: str) -> str | None:
        """The ID of the token that a link is for; None if it is none, too old, or was used. It is used up by that.

        Raises KeyFileError.
        """
        link_id = link_id_of(text)
        if link_id is None:
            return None
        path = self._path(link_id)
        link = self._read_link(path) if path.exists() else None
        if link is None or not link.is_opened_by(text, time.time()):
            return None
        try:
            path.unlink()
        except FileNotFoundError:
            # Somebody was faster.
            return None
        except OSError as error:
            raise KeyFileError(f"cannot use up {path}: {error.strerror}", hint=files.hint_for(error, path)) from error
        return link.token_id

    def _path(self, link_id: str) -> Path:
        return self._folder / f"link-{link_id}.json"

    def _read_link(self, path: Path) -> LoginLink | None:
        try:
            return LoginLink.from_json(files.read_private(path).decode("utf-8", "replace"))
        except (PageFileError, KeyFileError):
            return None


def login_link(config: ServerConfig, token_id: str) -> str:
    """A link that logs in to the page of this server once, by this token. Raises KeyFileError, CertificateError."""
    directory = config.credentials_dir
    credentials = None if directory is None else Credentials(directory)
    is_protected = credentials is not None and credentials.exist() and not config.rest_open
    address = config.rest_address(is_protected=is_protected)
    hosts = credentials.certificate().hosts if credentials is not None and is_protected else ()
    host = _reachable(address.host) or (hosts[0] if hosts else "127.0.0.1")
    shown = f"[{host}]" if ":" in host else host
    text = PageFiles(config.state_dir).add_link(token_id)
    return f"{'https' if is_protected else 'http'}://{shown}:{address.port}/login#{text}"


def _reachable(host: str) -> str:
    """A host to listen on, unless it means all addresses."""
    try:
        return "" if not host or ip_address(host).is_unspecified else host
    except ValueError:
        return host
