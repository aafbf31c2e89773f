# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor`` and certificates: real files of real authorities, each thing that can be wrong with them."""

import os
import time
from pathlib import Path

import pytest

from remsim.config import BankdConfig, HostPort
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Identity, Role
from remsim.doctor import certificate, owner
from remsim.doctor.certificate import check_certificate, judge, read_state
from remsim.doctor.check import Situation
from remsim.pki.authority import AUTHORITY_LIFETIME
from remsim.pki.credentials import Credentials
from remsim.pki.facts import decode_pem, read_certificate
from tests.doubles.certificates import BANK, CLIENT, DAY_S, SERVER, CertificateWorld

NOWHERE = HostPort("127.0.0.1", 1)


@pytest.fixture
def lab(tmp_path: Path) -> CertificateWorld:
    return CertificateWorld(tmp_path / "lab")


async def examine(
    credentials: Credentials, role: Role = Role.CLIENT, *, bankd: BankdConfig | None = None
) -> list[Finding]:
    situation = Situation(NOWHERE, role=role, tls_dir=credentials.directory, is_tls_demanded=True, bankd=bankd)
    return list(await check_certificate(situation))


def problems(findings: list[Finding]) -> list[str]:
    assert all(finding.mend for finding in findings if finding.outcome is not Outcome.OK)
    return [finding.text for finding in findings if finding.outcome is Outcome.PROBLEM]


@pytest.mark.parametrize(("identity", "role"), [(CLIENT, Role.CLIENT), (BANK, Role.BANK), (SERVER, Role.SERVER)])
async def test_good_certificate_of_each_role_is_well(lab: CertificateWorld, identity: Identity, role: Role) -> None:
    (finding,) = await examine(lab.credentials(identity), role)
    assert finding.outcome is Outcome.OK
    assert finding.text.startswith(f"{identity}, until ")


async def test_expired_certificate_is_told(lab: CertificateWorld) -> None:
    credentials = lab.credentials(CLIENT, now=lab.now - 100 * DAY_S)
    (text,) = problems(await examine(credentials))
    assert text.startswith("the certificate of client/23 expired on ")


async def test_certificate_of_a_time_to_come_is_told(lab: CertificateWorld) -> None:
    (text,) = problems(await examine(lab.credentials(CLIENT, now=lab.now + DAY_S)))
    assert text.startswith("the certificate of client/23 is not valid before ")


async def test_certificate_of_another_role_is_told(lab: CertificateWorld) -> None:
    credentials = lab.credentials(BANK)
    assert problems(await examine(credentials)) == [
        f"the certificate in {credentials.directory} is for bank/1, not for a client"
    ]


async def test_certificate_of_another_number_is_told(lab: CertificateWorld, tmp_path: Path) -> None:
    config = BankdConfig(bank_id=2, state_dir=tmp_path)
    credentials = lab.credentials(BANK)
    assert problems(await examine(credentials, Role.BANK, bankd=config)) == [
        f"the certificate in {credentials.directory} is for bank/1, not for bank/2"
    ]


async def test_number_that_nobody_gave_is_not_demanded(lab: CertificateWorld, tmp_path: Path) -> None:
    """A bank found by its state directory may have any number."""
    config = BankdConfig(state_dir=tmp_path)
    (finding,) = await examine(lab.credentials(Identity.bank(7)), Role.BANK, bankd=config)
    assert finding.outcome is Outcome.OK


async def test_certificate_that_no_authority_of_ours_signed_is_told(lab: CertificateWorld) -> None:
    (text,) = problems(await examine(lab.self_signed(CLIENT)))
    assert text == "others refuse it: it is refused: it is self-signed"


async def test_certificate_of_another_authority_is_told(lab: CertificateWorld, tmp_path: Path) -> None:
    credentials = lab.credentials(CLIENT)
    other = CertificateWorld(tmp_path / "other", name="other")
    credentials.authority_file.write_bytes(other.authority.certificate)
    credentials.revocations_file.write_bytes(other.revocations())
    (text,) = problems(await examine(credentials))
    assert text == "others refuse it: it is refused: it is of an authority that we do not trust"


async def test_revoked_certificate_is_told(lab: CertificateWorld) -> None:
    credentials = lab.credentials(CLIENT)
    lab.revoke(credentials)
    lab.tell(credentials)
    assert problems(await examine(credentials)) == ["others refuse it: it is refused: it is revoked"]


async def test_missing_revocation_list_is_told(lab: CertificateWorld) -> None:
    credentials = lab.credentials(CLIENT)
    credentials.revocations_file.unlink()
    (text,) = problems(await examine(credentials))
    assert text.startswith("there is no revocation list in ")


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (DAY_S - 60, []),
        (DAY_S + 3600, ["the revocation list is 25 hours old (more than 24): revocations do not arrive"]),
    ],
)
async def test_old_revocation_list_is_told(lab: CertificateWorld, age_s: float, expected: list[str]) -> None:
    lab.authority.publish_list(lab.now - age_s)
    assert problems(await examine(lab.credentials(CLIENT))) == expected


async def test_revocation_list_of_a_time_to_come_is_told(lab: CertificateWorld) -> None:
    lab.authority.publish_list(lab.now + 70 * DAY_S)
    texts = problems(await examine(lab.credentials(CLIENT)))
    assert any("which is to come: a clock is wrong, or was" in text for text in texts)


async def test_renewal_that_is_late_is_a_note(lab: CertificateWorld) -> None:
    findings = await examine(lab.credentials(CLIENT, now=lab.now - 70 * DAY_S))
    assert [finding.outcome for finding in findings] == [Outcome.OK, Outcome.NOTE]
    assert findings[1].text.startswith("the renewal was due on ")


def test_authority_that_ends_soon_is_a_note_and_one_that_ended_a_problem(lab: CertificateWorld) -> None:
    state = read_state(lab.credentials(CLIENT).directory)
    end = read_certificate(decode_pem(lab.authority.certificate)[0]).not_after.timestamp()
    assert end == pytest.approx(lab.now - 365 * DAY_S + AUTHORITY_LIFETIME.total_seconds(), abs=2)
    (soon,) = certificate.judge_authority(state.authority, end - 10 * DAY_S, check="it")
    (over,) = certificate.judge_authority(state.authority, end + 1, check="it")
    assert (soon.outcome, over.outcome) == (Outcome.NOTE, Outcome.PROBLEM)
    assert "the authority ends on" in soon.text
    assert "the authority ended on" in over.text
    assert certificate.judge_authority(state.authority, lab.now, check="it") == []


def test_every_fault_is_told_at_once(lab: CertificateWorld) -> None:
    state = read_state(lab.credentials(BANK).directory)
    texts = problems(judge(state, Role.CLIENT, [CLIENT], time.time() + 100 * DAY_S))
    assert [text.partition(" ")[0] for text in texts] == ["the", "the", "the"]
    assert {"not for a client", "expired on", "hours old"} == {
        part for part in ("not for a client", "expired on", "hours old") if any(part in text for text in texts)
    }


async def test_files_that_others_can_read_are_told_with_the_command(lab: CertificateWorld) -> None:
    credentials = lab.credentials(CLIENT)
    credentials.pair_file.chmod(0o644)
    (finding,) = await examine(credentials)
    assert finding.outcome is Outcome.PROBLEM
    assert finding.mend == f"run: chmod 600 {credentials.pair_file}"


async def test_damaged_certificate_is_told(lab: CertificateWorld) -> None:
    credentials = lab.credentials(CLIENT)
    credentials.pair_file.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (finding,) = await examine(credentials)
    assert finding.outcome is Outcome.PROBLEM


async def test_what_belongs_to_a_services_user_is_no_fault(
    lab: CertificateWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = lab.credentials(CLIENT)
    monkeypatch.setattr(os, "geteuid", lambda: credentials.directory.stat().st_uid + 1)
    monkeypatch.setattr(owner, "_owner", lambda _path: 65534)
    (finding,) = await examine(credentials)
    assert finding.outcome is Outcome.NOTE
    assert finding.text == f"not looked at: {credentials.directory} belongs to the user nobody"
    assert finding.mend.startswith("run this as its user: sudo -u nobody remsim doctor")


@pytest.mark.parametrize(
    ("is_demanded", "is_plain", "outcome", "part"),
    [
        (True, False, Outcome.PROBLEM, "there is no certificate in "),
        (False, True, Outcome.NOTE, "neither encrypted nor authenticated"),
        (False, False, Outcome.NOTE, "the program starts with --plaintext only"),
    ],
)
async def test_host_without_certificate(
    tmp_path: Path, is_demanded: bool, is_plain: bool, outcome: Outcome, part: str
) -> None:
    situation = Situation(NOWHERE, tls_dir=tmp_path, is_tls_demanded=is_demanded, is_plain_allowed=is_plain)
    (finding,) = await check_certificate(situation)
    assert finding.outcome is outcome
    assert part in finding.text
    assert "remsim enroll" in finding.mend


async def test_server_without_certificate_is_told_how_to_make_one() -> None:
    (finding,) = await check_certificate(Situation(NOWHERE, role=Role.SERVER))
    assert "remsim server init" in finding.mend
