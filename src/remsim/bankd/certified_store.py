# SPDX-License-Identifier: Apache-2.0
"""Keeps in the state directory which clients have a certificate; see ``certified`` for what is on the list."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from remsim.bankd.core.certified import CertifiedMemory
from remsim.core.episode import OncePerEpisode
from remsim.core.errors import ConfigError, RemsimError
from remsim.core.identity import Identity, Role
from remsim.logs import Logger
from remsim.net.runtime.tasks import in_thread
from remsim.pki import files
from remsim.pki.errors import KeyFileError

NAME: Final = "certified.json"
_VERSION: Final = 1
_NOT_STORED: Final = "certified_list_not_stored"
#: Each slot of each client by itself, which is the longest list, takes some 17 million bytes.
_MAX_BYTES: Final = 1 << 25


class CertifiedFile:
    """The list of clients that have a certificate, in the file at ``path``."""

    def __init__(self, path: Path, log: Logger) -> None:
        self._path = path
        self._log = log
        self._turn = asyncio.Lock()
        self._is_due = False
        self._trouble: OncePerEpisode[str] = OncePerEpisode()

    def load(self) -> CertifiedMemory:
        """What it holds. A file that cannot be used is reported."""
        try:
            return CertifiedMemory(_parse(self._read()))
        except FileNotFoundError:
            return CertifiedMemory()
        except (OSError, ValueError, RecursionError, RemsimError) as error:
            self._log.error(
                "certified_list_unreadable",
                file=str(self._path),
                error=str(error),
                hint="plain TCP is refused to all clients until a server with a certificate tells the list again, or"
                " until the file is repaired or deleted, and the bankd is started again",
            )
            return CertifiedMemory(is_readable=False)

    def _read(self) -> bytes:
        with self._path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"it is larger than {_MAX_BYTES} bytes")
        return content

    def want(self) -> None:
        """There is more to store: the next ``save`` writes."""
        self._is_due = True

    async def save(self, clients: Callable[[], tuple[Identity, ...]]) -> None:
        """If that is wanted: replace it, as a whole or not at all. What goes wrong is reported when it begins."""
        async with self._turn:
            # Those who waited meanwhile find that theirs is written already.
            if not self._is_due:
                return
            self._is_due = False
            try:
                await in_thread(self._write, clients())
            except (OSError, KeyFileError) as error:
                self._is_due = True
                if self._trouble.begins(_NOT_STORED, str(error)):
                    self._log.error(_NOT_STORED, error=str(error), hint="see --state")
            else:
                self._trouble.ends(_NOT_STORED)

    def _write(self, clients: tuple[Identity, ...]) -> None:
        self._path.parent.mkdir(mode=files.DIRECTORY_MODE, parents=True, exist_ok=True)
        text = json.dumps({"version": _VERSION, "clients": [str(client) for client in clients]}, indent=1)
        files.write_private(self._path, f"{text}\n".encode())


def _parse(content: bytes) -> tuple[Identity, ...]:
    raw: object = json.loads(content)
    if not isinstance(raw, dict) or raw.get("version") != _VERSION or not isinstance(raw.get("clients"), list):
        raise ConfigError("it is none of our files")
    return tuple(_client(each) for each in raw["clients"])


def _client(value: object) -> Identity:
    identity = Identity.parse(value) if isinstance(value, str) else None
    if identity is None or identity.role is not Role.CLIENT:
        raise ConfigError(f"{value!r} is no client")
    return identity
