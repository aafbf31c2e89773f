# SPDX-License-Identifier: Apache-2.0
"""Keeps a program's certificate alive: renews it before it expires, and says when something about it is wrong.

What is asked over the network blocks and runs in a thread. A failure ends nothing: the old certificate stays in use and
it is tried again, ever more often than a certificate's life is long.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from remsim.logs import Logger
from remsim.net.tls import TlsContexts
from remsim.pki.errors import PkiError
from remsim.pki.facts import CertificateFacts

#: How often the age of the revocation list is looked at, and whether the certificate is due.
CHECK_S: Final = 600.0
#: After a failed attempt; doubled each time.
FIRST_RETRY_S: Final = 60.0
MOST_RETRY_S: Final = 4 * 3600.0


class CertificateKeeper:
    """One program's keeper. ``renew`` blocks, and raises PkiError; ``now`` gives seconds since 1970."""

    def __init__(
        self,
        contexts: TlsContexts,
        renew: Callable[[], CertificateFacts],
        *,
        log: Logger,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._contexts = contexts
        self._renew = renew
        self._log = log
        self._now = now
        self._pause = pause
        self._failures = 0
        self._is_list_reported = False

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.step()
            await self._pause(self.pause_s())

    def pause_s(self) -> float:
        """Seconds until the next look."""
        if self._failures:
            return float(min(FIRST_RETRY_S * 2 ** min(self._failures - 1, 20), MOST_RETRY_S))
        return CHECK_S

    async def step(self) -> None:
        """Do what is due now."""
        self._look_at_list()
        try:
            due = self._contexts.credentials.renewal_due()
            if self._now() < due.timestamp():
                return
            await asyncio.to_thread(self._renew)
            self._contexts.reload()
        except PkiError as error:
            self._failures += 1
            self._log.warning(
                "certificate_not_renewed",
                identity=str(self._contexts.identity),
                expires=self._contexts.not_after.isoformat(),
                days_left=round((self._contexts.not_after - datetime.fromtimestamp(self._now(), UTC)).days),
                reason=str(error),
                hint=error.hint,
            )
            return
        self._failures = 0
        self._log.info(
            "certificate_renewed",
            identity=str(self._contexts.identity),
            expires=self._contexts.not_after.isoformat(),
        )

    def _look_at_list(self) -> None:
        is_old = self._contexts.is_list_too_old(self._now())
        if is_old and not self._is_list_reported:
            revocations = self._contexts.revocations
            issued_at = "never" if revocations is None else revocations.issued_at.isoformat()
            self._log.warning("revocation_list_too_old", issued_at=issued_at)
        self._is_list_reported = is_old
