# SPDX-License-Identifier: Apache-2.0
"""Certificates and codes in the audit log: by any program and at any time, once each."""

from dataclasses import replace

from remsim.core.identity import Identity
from remsim.pki.codes import EnrolmentCode, StoredCode, encode_bytes
from remsim.pki.ledger import Issued
from remsim.server.authority.audit import BY_HAND, SETTLED_S, CertificateAudit
from remsim.server.core.actions import Actor, Entry
from remsim.server.store.sql import HISTORY_S

NOW = 1_800_000_000.0
BANK = Issued(0xAB, Identity.bank(1), b"", b"", NOW - 100, NOW + 100)
CLIENT = Issued(0xCD, Identity.client(7), b"", b"", NOW - 90, NOW + 100)
REVOKED = replace(BANK, revoked_at=NOW - 50, reason="lost")

ISSUED_BANK = Entry(BY_HAND, "certificate.issue", "bank/1 ab", detail="2027-01-15T07:58:20Z")
REVOKED_BANK = Entry(BY_HAND, "certificate.revoke", "bank/1 ab", detail="2027-01-15T07:59:10Z: lost")
ISSUED_CLIENT = Entry(BY_HAND, "certificate.issue", "client/7 cd", detail="2027-01-15T07:58:30Z")


def test_what_is_in_the_ledger_is_entered_once() -> None:
    entries: list[Entry] = []
    audit = CertificateAudit((), entries.append, entries.append)
    for ledger in ((BANK,), (BANK,), (BANK, CLIENT), (REVOKED, CLIENT)):
        audit.follow(ledger, (), NOW)
        audit.follow(ledger, (), NOW)
    assert entries == [ISSUED_BANK, ISSUED_CLIENT, REVOKED_BANK]


def test_what_an_earlier_run_has_entered_is_not_entered_again() -> None:
    entries: list[Entry] = []
    audit = CertificateAudit({("certificate.issue", "bank/1 ab")}, entries.append, entries.append)
    audit.follow((REVOKED, CLIENT), (), NOW)
    assert entries == [REVOKED_BANK, ISSUED_CLIENT]


def test_what_is_older_than_entries_are_kept_is_not_entered_again() -> None:
    entries: list[Entry] = []
    audit = CertificateAudit((), entries.append, entries.append)
    old = replace(CLIENT, issued_at=NOW - HISTORY_S - 1, revoked_at=NOW - HISTORY_S - 1)
    audit.follow((old, replace(REVOKED, issued_at=NOW - HISTORY_S - 1)), (), NOW)
    assert entries == [REVOKED_BANK]


def test_enrolment_is_entered_with_its_source_and_what_is_young_waits_for_it() -> None:
    entries: list[Entry] = []
    audit = CertificateAudit((), entries.append, entries.append)
    young = replace(BANK, issued_at=NOW - 1)
    ledger = (young, replace(CLIENT, revoked_at=NOW - 1))
    audit.follow(ledger, (), NOW)
    assert entries == [ISSUED_CLIENT]
    audit.enrolled(young, source="192.0.2.7", how="accepted")
    audit.enrolled(young, source="192.0.2.7", how="repeated")
    audit.follow(ledger, (), NOW + SETTLED_S)
    enrolled = Entry(Actor("bank/1", "192.0.2.7"), "certificate.issue", "bank/1 ab", detail="enrolment: accepted")
    revoked = Entry(BY_HAND, "certificate.revoke", "client/7 cd", detail="2027-01-15T07:59:59Z")
    assert entries == [ISSUED_CLIENT, enrolled, revoked]


def test_revocation_without_a_reason_says_none() -> None:
    entries: list[Entry] = []
    CertificateAudit((), entries.append, entries.append).follow((replace(REVOKED, reason=""),), (), NOW)
    assert entries[1].detail == "2027-01-15T07:59:10Z"


def test_code_is_entered_once_without_its_name_or_secret() -> None:
    entries: list[Entry] = []
    code = EnrolmentCode(Identity.bank(1), b"name!!", b"secret of a code", bytes(32))
    made = StoredCode.of(code, NOW - 1)
    audit = CertificateAudit((), entries.append, entries.append)
    for codes in ((made,), (replace(made, tries_left=1),), (replace(made, is_withdrawn=True),)):
        audit.follow((BANK,), codes, NOW)
    assert entries == [Entry(BY_HAND, "code.make", "bank/1 2027-01-15T07:59:59.000Z"), ISSUED_BANK]
    assert encode_bytes(code.code_id) not in str(entries)


def test_newer_code_for_the_same_identity_is_another_entry_and_an_old_one_none() -> None:
    entries: list[Entry] = []
    first, second, old = (
        StoredCode.of(EnrolmentCode(Identity.bank(1), bytes([number] * 6), bytes(16), bytes(32)), NOW - age_s)
        for number, age_s in enumerate((0.5, 0.25, HISTORY_S + 1))
    )
    audit = CertificateAudit({("code.make", "bank/1 2027-01-15T07:59:59.500Z")}, entries.append, entries.append)
    audit.follow((), (old, first, second), NOW)
    assert entries == [Entry(BY_HAND, "code.make", "bank/1 2027-01-15T07:59:59.750Z")]
