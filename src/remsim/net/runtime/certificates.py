# SPDX-License-Identifier: Apache-2.0
"""Keeps the certificate of a running program fresh: renews it in time, and takes what has changed into use.

Links that exist go on with the certificate that they were made with, unless their peer's has been revoked: those are
closed. A renewal that fails ends nothing: the old certificate stays in use, and it is tried again. What is asked over
the network blocks and runs in a thread. Knows nothing of who issues certificates but their URL.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sized
from datetime import UTC, datetime
from typing import Final, Protocol

from remsim.logs import Logger
from remsim.net.runtime.tasks import in_thread
from remsim.net.tls.contexts import TlsContexts, TlsSetupError
from remsim.pki import enrol
from remsim.pki.errors import KeyFileError, PkiError
from remsim.pki.facts import REVOCATION_LIST, encode_pem
from remsim.pki.toolkit import Toolkit, choose_toolkit

#: Files are looked at so often: a revocation is to be effective within a minute.
CHECK_INTERVAL_S: Final = 5.0
#: After a renewal that failed; doubled each time, so that a server that is down for long is not asked all the time. A
#: third of the certificate's life is left to try again.
FIRST_RETRY_S: Final = 60.0
MOST_RETRY_S: Final = 4 * 3600.0
#: What is wrong for long is said so often.
REMINDER_S: Final = 86400.0
#: After a list that could not be stored, because the disk is full for example; doubled each time. A server sends its
#: list every hour only: until then, a revocation would be without effect.
FIRST_LIST_RETRY_S: Final = 5.0
MOST_LIST_RETRY_S: Final = 3600.0
#: Lists that wait to be looked at: a program has a few servers, each of which has a new one now and then.
MAX_LISTS: Final = 8

#: Blocks; replaces key and certificate in the directory. Raises PkiError.
Renewal = Callable[[], object]


class RevocableLinks(Protocol):
    """The links of a program, and what else depends on certificates of peers."""

    def close_revoked(self, is_revoked: Callable[[int], bool]) -> Sized:
        """Close the links whose peer's certificate, by its serial number, is revoked; return them."""
        ...


class CertificateManager:
    """Keeps a program's certificate valid. ``run`` is a task; call ``reload`` and ``accept_list`` at any time."""

    def __init__(
        self,
        contexts: TlsContexts,
        links: RevocableLinks,
        *,
        log: Logger,
        renewal: Renewal | None = None,
        on_loaded: Callable[[], None] | None = None,
    ) -> None:
        """``renewal`` gets a new certificate; without it, the server that gave the old one is asked.

        ``on_loaded`` is called whenever files were loaded anew.
        """
        self._on_loaded = on_loaded
        self._contexts = contexts
        self._links = links
        self._log = log
        self._renewal = renewal or self._renew_by_server
        # Those of the files that are in use: what was changed since they were read is found at the first look.
        self._stamps = contexts.stamps
        self._turn = asyncio.Lock()
        # Several servers or links may bring the same list, or different ones.
        self._lists: deque[bytes] = deque(maxlen=MAX_LISTS)
        self._failures = 0
        self._retry_at = 0.0
        self._list_reminder_at = 0.0
        # The newest list that could not be stored.
        self._unstored: bytes | None = None
        self._list_failures = 0
        self._list_retry_at = 0.0

    async def run(self) -> None:
        """Look after everything, for ever."""
        while True:
            self.check_files()
            await self.check_age(time.time())
            await asyncio.sleep(CHECK_INTERVAL_S)

    def check_files(self) -> None:
        """Reload if a file has changed."""
        if self._contexts.credentials.stamps() != self._stamps:
            self.reload()

    def reload(self) -> None:
        """Use what the files hold now; close links whose peer is revoked. What cannot be used is reported."""
        self._stamps = self._contexts.credentials.stamps()
        try:
            self._contexts.reload()
        except (PkiError, TlsSetupError) as error:
            self._log.error("certificate_not_reloaded", error=str(error), hint=error.hint)
            return
        closed = self._links.close_revoked(self._contexts.is_revoked)
        expires = self._contexts.not_after.isoformat()
        self._log.info("certificate_loaded", identity=str(self._contexts.identity), expires=expires, cut=len(closed))
        if self._on_loaded is not None:
            self._on_loaded()

    async def check_age(self, now: float) -> None:
        """Renew the certificate if that is due, report a list that is too old, store one that could not be stored.

        ``now``: seconds since 1970.
        """
        await self._store_again(now)
        self._check_list(now)
        if _is_early(now, self._retry_at, MOST_RETRY_S):
            return
        try:
            if not self._contexts.credentials.is_renewal_due(now):
                return
            await in_thread(self._renewal)
        except PkiError as error:
            self._failures += 1
            self._retry_at = now + retry_delay_s(self._failures)
            self._tell_failure(error, now)
            return
        self._failures = 0
        # Whatever was got is not asked for again at once, even if it should be as old as what it replaces.
        self._retry_at = now + FIRST_RETRY_S
        self.check_files()
        expires = self._contexts.not_after.isoformat()
        self._log.info("certificate_renewed", identity=str(self._contexts.identity), expires=expires)

    def _check_list(self, now: float) -> None:
        if not self._contexts.is_list_too_old(now):
            self._list_reminder_at = 0.0
        elif not _is_early(now, self._list_reminder_at, REMINDER_S):
            self._list_reminder_at = now + REMINDER_S
            revocations = self._contexts.revocations
            issued_at = "never" if revocations is None else revocations.issued_at.isoformat()
            text = "revocations do not arrive: is the server with the authority reachable?"
            self._log.warning("revocation_list_too_old", issued_at=issued_at, text=text)

    def _tell_failure(self, error: PkiError, now: float) -> None:
        contexts = self._contexts
        self._log.warning(
            "certificate_not_renewed",
            identity=str(contexts.identity),
            expires=contexts.not_after.isoformat(),
            days_left=(contexts.not_after - datetime.fromtimestamp(now, UTC)).days,
            error=str(error),
            hint=error.hint,
        )

    async def accept_list(self, der: bytes) -> None:
        """Store a revocation list that a server pushed, and use it, if it is the authority's and new.

        Lists that come while another one is looked at wait; of many, the oldest are dropped.
        """
        if der not in self._lists:
            self._lists.append(der)
        if self._turn.locked():
            return
        async with self._turn:
            while self._lists:
                await self._take_list(self._lists.popleft())

    async def _store_again(self, now: float) -> None:
        if self._unstored is None or _is_early(now, self._list_retry_at, MOST_LIST_RETRY_S):
            return
        await self.accept_list(self._unstored)
        if self._unstored is not None:
            self._list_failures += 1
            self._list_retry_at = now + _grown(FIRST_LIST_RETRY_S, self._list_failures, MOST_LIST_RETRY_S)

    async def _take_list(self, der: bytes) -> None:
        credentials, pem = self._contexts.credentials, encode_pem(der, REVOCATION_LIST)
        try:
            facts = await in_thread(lambda: credentials.accept_revocations(pem, _toolkit()))
        except PkiError as error:
            self._log.warning("revocation_list_refused", error=str(error), hint=error.hint)
            if isinstance(error, KeyFileError):
                self._unstored = der
            return
        # Where one is stored, others are, too: those that come late are older, or come once more.
        self._unstored, self._list_failures, self._list_retry_at = None, 0, 0.0
        if facts is not None:
            self._log.info("revocation_list", number=facts.number, revoked=len(facts.serials))
            self.check_files()

    def _renew_by_server(self) -> object:
        return enrol.renew(self._contexts.credentials, _toolkit())


def retry_delay_s(failures: int) -> float:
    """How long to wait after so many failed renewals in a row."""
    return _grown(FIRST_RETRY_S, failures, MOST_RETRY_S)


def _is_early(now: float, at: float, most_s: float) -> bool:
    """Whether ``at`` is to come. It was never more than ``most_s`` ahead: if it is now, the clock was set back."""
    return now < at <= now + most_s


def _grown(first_s: float, failures: int, most_s: float) -> float:
    # Beyond a few doublings the delay is at its most; the power itself must not grow with a server that is gone.
    return min(first_s * 2.0 ** min(failures - 1, 20), most_s)


def _toolkit() -> Toolkit:
    return choose_toolkit()
