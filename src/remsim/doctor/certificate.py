# SPDX-License-Identifier: Apache-2.0
"""Whether this host's certificate can be used: chain, role, dates, revocation list, and rights of the files.

``read_state`` gathers; ``judge`` only thinks.
"""

import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from remsim.causes import cause_of
from remsim.core.errors import RemsimError
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Identity, Role
from remsim.core.values import dataclass
from remsim.doctor.check import Situation
from remsim.doctor.owner import is_of_another, not_looked_at
from remsim.net.tls.contexts import TlsContexts
from remsim.pki.clock import check_dates, is_from_future
from remsim.pki.credentials import MAX_LIST_AGE, Credentials, is_list_too_old, renewal_due
from remsim.pki.facts import CertificateFacts, RevocationFacts, decode_pem, read_certificate

_NAME: Final = "certificate"
_ENROL: Final = "enrol this host: remsim pki code {identity} on the server, remsim enroll URL CODE here"
#: A handshake within one process takes a few turns.
_MAX_TURNS: Final = 16
#: Verdicts of OpenSSL on dates (X509_V_ERR_*), which are judged by the dates themselves.
_DATES: Final = frozenset({9, 10, 11, 12})


@dataclass(frozen=True, slots=True)
class CertificateState:
    """What the files hold."""

    directory: Path
    certificate: CertificateFacts
    authority: CertificateFacts
    revocations: RevocationFacts | None
    #: Why a peer of the same authority would refuse the certificate, dates apart; empty if it would not.
    chain_fault: str
    #: Whom to ask for renewal; None: it was brought by hand.
    source: str | None


def read_state(directory: Path) -> CertificateState:
    """Read everything once. Raises RemsimError with a hint."""
    credentials = Credentials(directory)
    facts = credentials.check()
    contexts = TlsContexts(credentials)
    return CertificateState(
        directory=directory,
        certificate=facts,
        authority=read_certificate(decode_pem(credentials.authority())[0]),
        revocations=credentials.revocations(),
        chain_fault=chain_fault(contexts),
        source=credentials.source(),
    )


def chain_fault(contexts: TlsContexts) -> str:
    """Show our certificate to a listener that trusts whom we trust, within this process."""
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    shown.check_hostname, shown.verify_mode = False, ssl.CERT_NONE
    shown.load_cert_chain(contexts.credentials.pair_file)
    to_listener, to_dialler = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialler = shown.wrap_bio(to_dialler, to_listener)
    listener = contexts.server.wrap_bio(to_listener, to_dialler, server_side=True)
    try:
        for _ in range(_MAX_TURNS):
            is_done = True
            for side in (dialler, listener):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    is_done = False
            if is_done:
                return ""
    except ssl.SSLCertVerificationError as error:
        return "" if error.verify_code in _DATES else cause_of(error).words.replace("the peer's certificate", "it")
    except ssl.SSLError as error:
        return cause_of(error).words
    return "the handshake does not end"


def judge(state: CertificateState, role: Role, wanted: Sequence[Identity], now: float) -> list[Finding]:
    """What is wrong with it. ``wanted`` are the identities that the program speaks for; ``now``: seconds since 1970."""
    facts, found = state.certificate, []
    identity = facts.identity
    again = _ENROL.format(identity=wanted[0] if wanted else f"{role.value}/...")
    if identity is None or identity.role is not role:
        text = f"the certificate in {state.directory} is for {identity}, not for a {role.value}"
        found.append(Finding(_NAME, Outcome.PROBLEM, text, f"name the right directory with --tls DIR, or {again}"))
    else:
        for one in wanted:
            if not identity.covers(one):
                text = f"the certificate in {state.directory} is for {identity}, not for {one}"
                found.append(Finding(_NAME, Outcome.PROBLEM, text, f"correct the number, or {again}"))
    if state.chain_fault:
        found.append(Finding(_NAME, Outcome.PROBLEM, f"others refuse it: {state.chain_fault}", again))
    dates = check_dates(now, revocations=state.revocations, certificate=facts)
    found += [Finding(_NAME, Outcome.PROBLEM, one.text, one.hint) for one in dates]
    found += judge_authority(state.authority, now, check=_NAME)
    found += _judge_list(state, now)
    if renewal_due(facts).timestamp() < now < facts.not_after.timestamp():
        whom = f"does it run, and reach {state.source}?" if state.source else "renew it on the server, by hand"
        text = f"the renewal was due on {renewal_due(facts):%Y-%m-%d}; it expires on {facts.not_after:%Y-%m-%d}"
        found.append(Finding(_NAME, Outcome.NOTE, text, f"a running program renews it by itself: {whom}"))
    if any(finding.outcome is Outcome.PROBLEM for finding in found):
        return found
    return [Finding(_NAME, Outcome.OK, f"{identity}, until {facts.not_after:%Y-%m-%d}, in {state.directory}"), *found]


def judge_authority(authority: CertificateFacts, now: float, *, check: str) -> list[Finding]:
    """Whether the authority is valid, and for how long yet."""
    is_valid = authority.not_before.timestamp() <= now < authority.not_after.timestamp()
    outcome = Outcome.NOTE if is_valid else Outcome.PROBLEM
    return [Finding(check, outcome, one.text, one.hint) for one in check_dates(now, authority=authority)]


def _judge_list(state: CertificateState, now: float) -> list[Finding]:
    if state.revocations is None:
        text = f"there is no revocation list in {state.directory}: revoked certificates are accepted"
        mend = "start the program: it fetches the list from the server; or enrol this host again"
        return [Finding(_NAME, Outcome.PROBLEM, text, mend)]
    issued = state.revocations.issued_at
    if is_list_too_old(state.revocations, now) and not is_from_future(issued, now):
        age_h = (datetime.fromtimestamp(now, UTC) - issued).total_seconds() / 3600
        limit_h = MAX_LIST_AGE.total_seconds() / 3600
        text = f"the revocation list is {age_h:.0f} hours old (more than {limit_h:.0f}): revocations do not arrive"
        mend = "start the program, and see that it is connected to its server, which sends a new list every hour"
        return [Finding(_NAME, Outcome.PROBLEM, text, mend)]
    return []


def own_identities(situation: Situation) -> list[Identity]:
    """For whom the program of this host speaks, as far as its configuration says."""
    if situation.bankd is not None:
        # A number that nobody gave is a default, and the program may be started with another one.
        is_given = "bank_id" in situation.bankd.model_fields_set
        return [Identity.bank(situation.bankd.bank_id)] if is_given else []
    slots = [slot.client for slot in situation.slots if slot.client is not None]
    return [Identity.client(slot.client_id, slot.slot_nr) for slot in slots]


async def check_certificate(situation: Situation) -> Sequence[Finding]:
    """The certificate that the program would use."""
    directory = situation.tls_dir
    if directory is None:
        return [_without(situation)]
    if is_of_another(directory):
        return [not_looked_at(directory, check=_NAME)]
    try:
        is_there = Credentials(directory).exist()
    except OSError:
        return [not_looked_at(directory, check=_NAME)]
    if not is_there:
        return [_without(situation)]
    try:
        state = read_state(directory)
    except RemsimError as error:
        return [Finding(_NAME, Outcome.PROBLEM, str(error), error.hint or "enrol this host again")]
    return judge(state, situation.role, own_identities(situation), time.time())


def _without(situation: Situation) -> Finding:
    place = "" if situation.tls_dir is None else f" in {situation.tls_dir}"
    text = f"there is no certificate{place}"
    mend = (
        "make one, an authority and a token with: remsim server init"
        if situation.role is Role.SERVER
        else _ENROL.format(identity=next(iter(own_identities(situation)), f"{situation.role.value}/..."))
    )
    if situation.is_tls_demanded:
        return Finding(_NAME, Outcome.PROBLEM, text, mend)
    if situation.is_plain_allowed:
        return Finding(_NAME, Outcome.NOTE, f"{text}: links are neither encrypted nor authenticated", mend)
    return Finding(_NAME, Outcome.NOTE, f"{text}: the program starts with --plaintext only", mend)
