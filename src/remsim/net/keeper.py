# SPDX-License-Identifier: Apache-2.0
"""Keeps the certificate of a running program fresh: renews it in time, and takes what has changed into use.

Links that exist go on with the certificate that they were made with, unless their peer's has been revoked: those are
closed. Knows nothing of who issues certificates but their URL.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from remsim.logs import Logger
from remsim.net.hub import LinkHub
from remsim.net.tls import TlsContexts, TlsSetupError
from remsim.pki import enrol
from remsim.pki.credentials import renewal_due
from remsim.pki.errors import PkiError
from remsim.pki.facts import REVOCATION_LIST, encode_pem
from remsim.pki.toolkit import Toolkit, choose_toolkit

#: Files are looked at so often: a revocation is to be effective within a minute.
CHECK_INTERVAL_S: Final = 5.0
#: After a renewal that failed; a third of the certificate's life is left to try again.
RETRY_S: Final = 600.0
#: What is wrong for long is said so often.
REMINDER_S: Final = 86400.0

_Stamp = tuple[int, int, int] | None
#: Blocks; replaces key and certificate in the directory. Raises PkiError.
Renewal = Callable[[], object]


class CertificateKeeper:
    """One for a program. ``run`` is a task; ``reload`` and ``accept_list`` may be called at any time."""

    def __init__(
        self,
        contexts: TlsContexts,
        hub: LinkHub,
        *,
        log: Logger,
        renewal: Renewal | None = None,
        on_loaded: Callable[[], None] | None = None,
    ) -> None:
        """``renewal`` replaces the way to a new certificate; without it, whoever gave the old one is asked.

        ``on_loaded`` is called whenever files were loaded anew.
        """
        self._on_loaded = on_loaded
        self._contexts = contexts
        self._hub = hub
        self._log = log
        self._renewal = renewal or self._renew_by_server
        self._stamps = self._look()
        self._turn = asyncio.Lock()
        self._retry_at = 0.0
        self._list_reminder_at = 0.0

    async def run(self) -> None:
        """Look after everything, for ever."""
        while True:
            self.check_files()
            await self.check_age(time.time())
            await asyncio.sleep(CHECK_INTERVAL_S)

    def check_files(self) -> None:
        """Reload if a file has changed."""
        found = self._look()
        if found != self._stamps:
            self._stamps = found
            self.reload()

    def reload(self) -> None:
        """Use what the files hold now; close links whose peer is revoked. What cannot be used is reported."""
        try:
            self._contexts.reload()
        except (PkiError, TlsSetupError) as error:
            self._log.error("certificate_not_reloaded", error=str(error), hint=error.hint)
            return
        closed = self._hub.close_revoked(self._contexts.is_revoked)
        expires = self._contexts.not_after.isoformat()
        self._log.info("certificate_loaded", identity=str(self._contexts.identity), expires=expires, cut=len(closed))
        if self._on_loaded is not None:
            self._on_loaded()

    async def check_age(self, now: float) -> None:
        """Renew the certificate if that is due, and report a list that is too old. ``now``: seconds since 1970."""
        if self._contexts.is_list_too_old(now) and now >= self._list_reminder_at:
            self._list_reminder_at = now + REMINDER_S
            text = "revocations do not arrive: is the server with the authority reachable?"
            self._log.warning("revocation_list_too_old", text=text)
        if now < self._retry_at:
            return
        try:
            if now >= renewal_due(self._contexts.credentials.certificate()).timestamp():
                self._retry_at = now + RETRY_S
                await asyncio.to_thread(self._renewal)
                self._log.info("certificate_renewed")
                self.check_files()
        except PkiError as error:
            self._retry_at = now + RETRY_S
            self._log.warning("certificate_not_renewed", error=str(error), hint=error.hint)

    async def accept_list(self, der: bytes) -> None:
        """Store a revocation list that a server pushed, and use it, if it is the authority's and new."""
        credentials, pem = self._contexts.credentials, encode_pem(der, REVOCATION_LIST)
        try:
            # One after the other: several servers or links may bring the same list.
            async with self._turn:
                facts = await asyncio.to_thread(lambda: credentials.accept_revocations(pem, _toolkit()))
        except PkiError as error:
            self._log.warning("revocation_list_refused", error=str(error), hint=error.hint)
            return
        if facts is not None:
            self._log.info("revocation_list", number=facts.number, revoked=len(facts.serials))
            self.check_files()

    def _renew_by_server(self) -> object:
        return enrol.renew(self._contexts.credentials, _toolkit())

    def _look(self) -> tuple[_Stamp, ...]:
        credentials = self._contexts.credentials
        files = (credentials.pair_file, credentials.authority_file, credentials.revocations_file)
        return tuple(_stamp(path) for path in files)


def _toolkit() -> Toolkit:
    return choose_toolkit()


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
