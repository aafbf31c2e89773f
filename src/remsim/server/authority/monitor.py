# SPDX-License-Identifier: Apache-2.0
"""The authority beside a server: keeps its list fresh, renews the server's own certificate, notices changes."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from remsim.core.identity import Identity
from remsim.logs import Logger
from remsim.net.runtime.tasks import in_thread
from remsim.pki import files
from remsim.pki.authority import LEDGER_FILE, Authority
from remsim.pki.bootstrap import issue_here
from remsim.pki.codes import StoredCode
from remsim.pki.credentials import Credentials
from remsim.pki.enrolment_service import EnrolmentService
from remsim.pki.errors import AuthorityError, PkiError
from remsim.pki.facts import REVOCATION_LIST, decode_pem, read_revocation_list
from remsim.pki.ledger import Issued

#: Other processes issue and revoke; a revocation is to be effective within a minute.
CHECK_INTERVAL_S: Final = 5.0


class AuthorityMonitor:
    """One authority, and the credentials of the server beside it."""

    def __init__(self, directory: Path, credentials: Credentials) -> None:
        """Raises PkiError."""
        self.authority = Authority(directory, is_clock_watched=True)
        if credentials.exist() and not credentials.authority_facts().is_same_authority(self.authority.facts):
            raise AuthorityError(
                f"the certificate in {credentials.directory} is not of the authority in {directory}",
                hint=f"replace it with: remsim pki issue {credentials.identity()} --out {credentials.directory}",
            )
        self.enrolment = EnrolmentService(self.authority)
        self._credentials = credentials
        self._ledger = directory / LEDGER_FILE
        self._ledger_stamp = 0
        self._holders: frozenset[Identity] = frozenset()
        #: The authority's ledger as of the last ``refresh``.
        self.issued: tuple[Issued, ...] = ()
        self.codes: tuple[StoredCode, ...] = ()
        self._turn = threading.Lock()
        self.refresh()

    @property
    def holders(self) -> frozenset[Identity]:
        """All to whom a certificate was ever issued, as of the last ``refresh``."""
        return self._holders

    def is_certified(self, identity: Identity) -> bool:
        """Whether a certificate was ever issued that speaks for ``identity``, or for a part of it."""
        return any(holder.covers(identity) or identity.covers(holder) for holder in self._holders)

    def is_clock_doubtful(self) -> bool:
        """Whether the system's clock says something else than the authority has signed with until now."""
        return self.authority.dates(time.time()).is_doubtful

    def refresh(self) -> None:
        """Learn what other processes did, sign a new list if it is time, and give it to the server. Raises PkiError."""
        with self._turn:
            stamp = self._ledger.stat().st_mtime_ns
            is_changed = stamp != self._ledger_stamp
            if is_changed:
                self.issued = tuple(self.authority.issued())
                self.codes = tuple(self.authority.codes())
                self._holders = frozenset(issued.identity for issued in self.issued)
            now = time.time()
            newest = self._newest_list()
            facts = read_revocation_list(decode_pem(newest, REVOCATION_LIST)[0])
            is_behind = is_changed and facts.serials != self._revoked(self.authority.dates(now).begins)
            if is_behind or self.authority.is_list_due(facts, now):
                newest = self.authority.publish_list(now)
            self._follow_authority()
            # Only now: what failed is done at the next look.
            self._ledger_stamp = stamp
            path = self._credentials.revocations_file
            if not path.exists() or files.read_public(path) != newest:
                files.write_public(path, newest)

    def _follow_authority(self) -> None:
        """Take a new certificate of the authority over, for hosts that ask from now on, and for this server."""
        self.authority.reload()
        is_own_old = self._credentials.exist() and self._credentials.authority() != self.authority.certificate
        if is_own_old:
            self.renew_own()

    def _revoked(self, now: float) -> frozenset[int]:
        """What must be on the list."""
        revoked = (entry for entry in self.issued if entry.revoked_at is not None and now < entry.expires_at)
        return frozenset(entry.serial for entry in revoked)

    def _newest_list(self) -> bytes:
        path = self.authority.list_file
        return files.read_public(path) if path.exists() else self.authority.publish_list(time.time())

    def renew_own(self) -> None:
        """A new key and certificate for the server itself, for the same names. Raises PkiError."""
        old = self._credentials.certificate()
        issue_here(self.authority, self._credentials.identity(), self._credentials, now=time.time(), hosts=old.hosts)


async def watch_authority(authority: AuthorityMonitor, *, log: Logger, on_looked: Callable[[], None]) -> None:
    """For ever; what goes wrong is logged when it begins. ``on_looked`` is called each time, however it went."""
    trouble = ""
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        try:
            await in_thread(authority.refresh)
        except (PkiError, OSError) as error:
            if str(error) != trouble:
                hint = error.hint if isinstance(error, PkiError) else ""
                log.error("authority_in_trouble", error=str(error), hint=hint)
            trouble = str(error)
        else:
            trouble = ""
        on_looked()
