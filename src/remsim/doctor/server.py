# SPDX-License-Identifier: Apache-2.0
"""Whether a server's host can keep what a server must keep: database, room on the disk, tokens, authority.

Nothing is created, and no table is changed. What has ``judge`` in its name only thinks.
"""

import os
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remsim.core.disk_room import judge_room, room_text
from remsim.core.errors import RemsimError
from remsim.core.finding import Finding, Outcome
from remsim.doctor.certificate import judge_authority
from remsim.doctor.check import Situation
from remsim.doctor.owner import is_of_another, not_looked_at
from remsim.net.runtime.tasks import in_thread
from remsim.pki import files
from remsim.pki.authority import CERTIFICATE_FILE, KEY_FILE, LIST_FILE
from remsim.pki.clock import check_dates, read_record
from remsim.pki.credentials import is_list_too_old
from remsim.pki.facts import REVOCATION_LIST, RevocationFacts, decode_pem, read_certificate, read_revocation_list
from remsim.pki.signing import Issuer
from remsim.server.store.database import revisions
from remsim.server.store.examine import DatabaseFacts, Trouble, look_at_database

_DATABASE: Final = "database"
_DISK: Final = "disk"
_TOKEN: Final = "token"
_AUTHORITY: Final = "authority"

_INIT: Final = "make what a server needs with: remsim server init"
_RESTORE: Final = "restore the server's database from a backup; to begin with a new one, move this file away"
_FOR_SERVER: Final = "make room: a server that cannot write refuses changes of mappings"
_FOR_BANKD: Final = "make room: a bankd that cannot write forgets which reader belongs to which slot"
_CLOCK_FILE: Final = "clock.json"


def judge_database(facts: DatabaseFacts, known: Sequence[str]) -> list[Finding]:
    """What is wrong with a database, of whose forms ``known`` has those that this version understands, in order."""
    if facts.trouble is Trouble.NO_RIGHTS:
        return [not_looked_at(Path(facts.name), check=_DATABASE)]
    if facts.trouble is not None:
        return [Finding(_DATABASE, Outcome.PROBLEM, facts.reason, _mend_of(facts))]
    if facts.revision is None:
        what = "belongs to another program" if facts.has_tables else "is empty"
        text = f"{facts.name} {what}"
        text = text if text.startswith("the database ") else f"the database {text}"
        return [Finding(_DATABASE, Outcome.PROBLEM, text, facts.hint or _RESTORE)]
    found: list[Finding] = []
    if facts.revision not in known:
        text = f"{facts.name} was written by a newer version of remsim (its form is {facts.revision})"
        mend = "start that version, or restore the copy that was made before it ran"
        found.append(Finding(_DATABASE, Outcome.PROBLEM, text, mend))
    elif facts.revision != known[-1]:
        text = (
            f"{facts.name} has the form {facts.revision} of an older version: the next start brings it to {known[-1]}"
        )
        found.append(Finding(_DATABASE, Outcome.NOTE, text, "make a copy of it before"))
    else:
        found.append(Finding(_DATABASE, Outcome.OK, f"{facts.name} has the form {facts.revision}"))
    if facts.mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"{facts.name} can be reached by others (mode {facts.mode:04o})"
        found.append(Finding(_DATABASE, Outcome.PROBLEM, text, f"chmod 600 {facts.name}"))
    if facts.tokens == 0:
        mend = "make one: remsim token create NAME --role admin"
        found.append(Finding(_TOKEN, Outcome.PROBLEM, "there is no valid token: nobody can use REST", mend))
    elif facts.tokens is not None:
        found.append(Finding(_TOKEN, Outcome.OK, f"{facts.tokens} valid token{'' if facts.tokens == 1 else 's'}"))
    return found


def _mend_of(facts: DatabaseFacts) -> str:
    if facts.trouble is Trouble.ABSENT:
        return f"{_INIT}; is --state DIR right?"
    if facts.trouble is Trouble.READ_ONLY:
        return f"chmod u+rw {facts.name}; is the file system mounted read-only?"
    if facts.trouble is Trouble.SERVER:
        return "does it run, and may this host and user connect? see the setting database"
    return facts.hint or _RESTORE


async def check_database(situation: Situation) -> Sequence[Finding]:
    """The database and the tokens in it."""
    config = situation.server_config
    if config is None:
        return []
    return judge_database(await look_at_database(config.database_url, time.time()), revisions())


# Disk


def judge_disk(place: Path, free: int, total: int, mend: str = _FOR_SERVER) -> Finding:
    """Whether there is room for what a server writes, or a bankd; sizes in bytes."""
    text, severity = room_text(place, free, total), judge_room(free)
    if severity == "error":
        return Finding(_DISK, Outcome.PROBLEM, text, mend)
    if severity == "warning":
        return Finding(_DISK, Outcome.NOTE, text, "make room before it is full")
    return Finding(_DISK, Outcome.OK, text)


async def check_disk(situation: Situation) -> Sequence[Finding]:
    """The file system of the state directory."""
    config = situation.server_config or situation.bankd
    if config is None:
        return []
    # What is not made yet will be on the disk of the folder above it.
    place = next(
        folder for folder in (config.state_dir.absolute(), *config.state_dir.absolute().parents) if _is_there(folder)
    )
    usage = await in_thread(shutil.disk_usage, place)
    mend = _FOR_SERVER if config is situation.server_config else _FOR_BANKD
    return [judge_disk(place, usage.free, usage.total, mend)]


def _is_there(folder: Path) -> bool:
    return os.access(folder, os.F_OK)


# Authority


async def check_authority(situation: Situation) -> Sequence[Finding]:
    """The authority in the state directory: key, certificate, list, and whether the clock agrees with them."""
    config = situation.server_config
    if config is None:
        return []
    return await in_thread(examine_authority, config.authority_dir, time.time())


def examine_authority(directory: Path, now: float) -> list[Finding]:
    """What is wrong with the authority there. Its key is read to see that it can be, and is kept nowhere."""
    if is_of_another(directory):
        return [not_looked_at(directory, check=_AUTHORITY)]
    try:
        if not (directory / CERTIFICATE_FILE).exists():
            text = f"there is no authority in {directory}: hosts cannot enrol here"
            return [Finding(_AUTHORITY, Outcome.NOTE, text, _INIT)]
        files.check_private_directory(directory)
        certificate = files.read_public(directory / CERTIFICATE_FILE)
        facts = read_certificate(decode_pem(certificate)[0])
        # Refuses a key that is none, or not that of the certificate.
        Issuer(files.read_private(directory / KEY_FILE), certificate)
        revocations = _published(directory / LIST_FILE)
    except RemsimError as error:
        return [Finding(_AUTHORITY, Outcome.PROBLEM, str(error), error.hint or f"restore {directory} from a backup")]
    except OSError:
        return [not_looked_at(directory, check=_AUTHORITY)]
    record = read_record(directory / _CLOCK_FILE)
    found = [
        Finding(_AUTHORITY, Outcome.PROBLEM, one.text, one.hint)
        for one in check_dates(now, record=record, revocations=revocations)
    ]
    found += judge_authority(facts, now, check=_AUTHORITY)
    if revocations is None or is_list_too_old(revocations, now):
        age = "there is no revocation list" if revocations is None else f"the newest list is of {revocations.issued_at}"
        mend = "start the server: it signs a list every hour"
        found.append(Finding(_AUTHORITY, Outcome.NOTE, f"{age}: hosts do not hear of revocations", mend))
    if any(finding.outcome is Outcome.PROBLEM for finding in found):
        return found
    return [Finding(_AUTHORITY, Outcome.OK, f"until {facts.not_after:%Y-%m-%d}, in {directory}"), *found]


def _published(path: Path) -> RevocationFacts | None:
    if not path.exists():
        return None
    return read_revocation_list(decode_pem(files.read_public(path), REVOCATION_LIST)[0])
