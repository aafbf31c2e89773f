# SPDX-License-Identifier: Apache-2.0
"""``remsim pki`` and ``remsim enroll`` as a person or a script uses them."""

import asyncio
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from remsim.cli.main import main
from remsim.core.identity import Identity
from remsim.net.tls.contexts import TlsContexts
from remsim.pki import signing
from remsim.pki.authority import Authority
from remsim.pki.codes import EnrolmentCode
from remsim.pki.credentials import Credentials
from remsim.pki.facts import decode_pem, read_certificate
from tests.doubles.certificates import BANK, CertificateWorld
from tests.doubles.enrolment_server import enrolment_server

Say = Callable[..., str]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The server's state directory."""
    return tmp_path / "server"


@pytest.fixture
def pki(state: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs ``remsim pki`` there and gives what it prints."""

    def run(*words: str) -> str:
        assert main(["pki", *words, "--state", str(state)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


@pytest.fixture
def fail(state: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs ``remsim pki`` there and gives the one line in which it fails."""

    def run(*words: str, verb: str = "pki") -> str:
        assert main([verb, *words, "--state", str(state)]) != 0
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    return run


def test_one_command_makes_authority_and_server(pki: Say, fail: Say, state: Path) -> None:
    assert "this server is server/lab, until 2" in pki("init", "--name", "lab", "--host", "lab.example")
    assert TlsContexts(Credentials(state / "tls")).identity == Identity.server("lab")
    assert "has an authority already; hint: see it with: remsim pki show" in fail("init")


def test_server_is_named_after_its_host_unless_told(pki: Say, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "räck_7.example-")
    pki("init")
    assert Credentials(state / "tls").identity() == Identity.server("rck7.example")


def test_mistake_in_a_host_name_leaves_nothing_behind(fail: Say, state: Path) -> None:
    assert "neither an address nor an ASCII host name" in fail("init", "--host", "läb")
    assert not state.exists()


def test_certificate_made_by_hand(pki: Say, tmp_path: Path) -> None:
    pki("init", "--name", "lab")
    assert "bank/1 until 2" in pki("issue", "bank/1", "--out", str(tmp_path / "tls"))
    assert Credentials(tmp_path / "tls").check().identity == BANK


def test_request_is_certified(pki: Say, fail: Say, tmp_path: Path, state: Path) -> None:
    pki("init", "--name", "lab")
    (tmp_path / "request.pem").write_bytes(signing.make_request(signing.make_key(), "x"))
    pem = pki("issue", "client/23/0", "--request", str(tmp_path / "request.pem"))
    assert pem.encode() == Authority(state / "ca").issued()[-1].pem
    found = json.loads(pki("issue", "bank/2", "--request", str(tmp_path / "request.pem"), "--json"))
    assert found["identity"] == "bank/2"
    assert found["certificate"].startswith("-----BEGIN")
    (tmp_path / "request.pem").write_bytes(b"nothing")
    assert "no certificate request" in fail("issue", "bank/1", "--request", str(tmp_path / "request.pem"))
    assert "give either --out DIR or --request FILE" in fail("issue", "bank/1")
    assert "is no identity; hint: write bank/1" in fail("issue", "banks/1", "--out", str(tmp_path))
    assert "neither an address nor an ASCII host name" in fail(
        "issue", "server/x", "--out", str(tmp_path / "x"), "--host", "läb"
    )


def test_certificate_is_renewed_in_place(pki: Say, fail: Say, state: Path, tmp_path: Path) -> None:
    pki("init", "--name", "lab", "--host", "lab.example", "--host", "::1")
    before = Credentials(state / "tls").certificate().serial
    pki("renew", "server/lab")
    assert Credentials(state / "tls").certificate().serial != before
    assert Credentials(state / "tls").certificate().hosts == ("lab.example", "::1")
    pki("renew", "server/lab", "--host", "other.example")
    assert Credentials(state / "tls").certificate().hosts == ("other.example",)
    pki("issue", "bank/1", "--out", str(tmp_path / "tls"))
    pki("renew", "bank/1", "--out", str(tmp_path / "tls"))
    assert Credentials(tmp_path / "tls").certificate().hosts == ()
    assert "bank/1 is not this server; hint: name a directory with --out DIR" in fail("renew", "bank/1")
    assert "bank/2 has no valid certificate" in fail("renew", "bank/2")


def test_revocation_by_identity_or_serial_number(pki: Say, fail: Say, state: Path, tmp_path: Path) -> None:
    pki("init", "--name", "lab")
    for folder in ("a", "b", "c"):
        pki("issue", "bank/1" if folder != "c" else "client/23", "--out", str(tmp_path / folder))
    assert pki("revoke", "bank/1", "--reason", "stolen").count("revoked") == 2
    serial = Credentials(tmp_path / "c").certificate().serial
    (revoked,) = json.loads(pki("revoke", f"{serial:x}", "--json"))["revoked"]
    assert revoked["identity"] == "client/23"
    assert revoked["state"] == "revoked"
    assert "bank/1 has no valid certificate" in fail("revoke", "bank/1")
    assert "no certificate has the serial number 1" in fail("revoke", "1")
    assert "neither an identity nor a serial number" in fail("revoke", "nobody")
    shown = json.loads(pki("show", "bank/1", "--json"))
    assert [entry["reason"] for entry in shown["issued"]] == ["stolen", "stolen"]
    assert shown["authority"] == Authority(state / "ca").fingerprint.hex()


def test_list_of_what_was_issued(pki: Say, fail: Say) -> None:
    assert "hint: give --state DIR of the server" in fail("show")
    pki("init", "--name", "lab")
    assert "nothing was issued yet" in pki("show", "bank/7")
    lines = pki("show").splitlines()
    assert lines[0].split() == ["IDENTITY", "STATE", "EXPIRES", "SERIAL", "REASON"]
    assert lines[1].split()[:2] == ["server/lab", "valid"]


def test_authority_is_printed_to_be_carried_away(pki: Say, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki("init", "--name", "lab")
    authority = Authority(state / "ca")
    assert main(["pki", "show", "--authority", "--state", str(state)]) == 0
    said = capsys.readouterr()
    assert said.out.encode() == authority.certificate
    assert said.err == f"SHA-256 {authority.fingerprint.hex()}\n"
    found = json.loads(pki("show", "--authority", "--json"))
    assert found == {"authority": authority.fingerprint.hex(), "certificate": authority.certificate.decode()}


def test_code_stands_alone_on_standard_output(pki: Say, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki("init", "--name", "lab")
    code = EnrolmentCode.parse(pki("code", "bank/1"))
    assert code.identity == BANK
    assert code.fingerprint == Authority(state / "ca").fingerprint
    assert json.loads(pki("code", "client/23", "--json"))["identity"] == "client/23"
    main(["pki", "code", "bank/1", "--state", str(state)])
    assert "remsim enroll https://THIS-SERVER:9997 -, which reads the code" in capsys.readouterr().err


def test_code_goes_to_a_new_file_that_only_its_user_can_read(pki: Say, fail: Say, tmp_path: Path) -> None:
    pki("init", "--name", "lab")
    path = tmp_path / "code"
    before = os.umask(0)
    try:
        assert pki("code", "bank/1", "--to", str(path)) == ""
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    first = path.read_text(encoding="utf-8")
    assert EnrolmentCode.parse(first.strip()).identity == BANK
    assert "exists already" in fail("code", "bank/1", "--to", str(path))
    assert path.read_text(encoding="utf-8") == first
    assert "code" not in json.loads(pki("code", "bank/1", "--json", "--to", str(tmp_path / "other")))


def test_directory_that_others_can_reach_is_refused_with_the_remedy(pki: Say, fail: Say, state: Path) -> None:
    pki("init", "--name", "lab")
    (state / "ca").chmod(0o755)
    assert f"hint: run: chmod 700 {state / 'ca'}" in fail("show")


def test_authority_is_extended_with_the_same_key(pki: Say, state: Path) -> None:
    pki("init", "--name", "lab")
    before = read_certificate(decode_pem((state / "ca" / "authority.pem").read_bytes())[0])
    said = pki("extend")
    after = read_certificate(decode_pem((state / "ca" / "authority.pem").read_bytes())[0])
    assert after.is_same_authority(before)
    assert after.serial != before.serial
    assert said.startswith(
        f"authority extended from {before.not_after:%Y-%m-%d} to {after.not_after:%Y-%m-%d}\nSHA-256 "
    )
    assert json.loads(pki("extend", "--json"))["expiresAt"] >= f"{after.not_after:%Y-%m-%d}"
    # What was issued before is still good, and the server's own can be renewed.
    assert "server/lab  valid" in pki("show")
    assert "server/lab until" in pki("renew", "server/lab")


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0, ""),
        (-70, "warning: the clock says "),
        (-70, "warning: the revocation list is of "),
        (-70, "warning: the certificate of server/lab is not valid before "),
        (100, "warning: the certificate of server/lab expired on "),
        (3500, "warning: the authority ends on "),
        (3700, "warning: the authority ended on "),
    ],
)
def test_dates_that_are_wrong_are_told_on_standard_error(
    pki: Say, state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, days: int, said: str
) -> None:
    pki("init", "--name", "lab")
    pki("code", "bank/1")
    then = time.time() + days * 86400
    monkeypatch.setattr("remsim.cli.pki.time", SimpleNamespace(time=lambda: then))
    assert main(["pki", "show", "--state", str(state)]) == 0
    shown = capsys.readouterr()
    assert "server/lab" in shown.out
    assert said in shown.err
    assert bool(shown.err) is bool(said)
    assert shown.err.count("hint: ") == shown.err.count("\n")


class TestEnroll:
    async def test_new_host_in_one_command(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ca = CertificateWorld(tmp_path / "lab")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
        async with enrolment_server(ca) as server:
            for identity, folder in [
                (BANK, "bank-1"),
                (Identity.client(23), "client"),
                (Identity.server("two"), "server"),
            ]:
                code = ca.authority.make_code(identity, now=server.now).to_text()
                words = ["enroll", server.url, code]
                assert await asyncio.to_thread(main, words) == 0
                assert f"enrolled as {identity} for 90 days" in capsys.readouterr().out
                found = Credentials(tmp_path / "home" / "remsim" / folder / "tls")
                assert found.identity() == identity

    async def test_code_from_standard_input_and_renewal_by_the_program(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ca = CertificateWorld(tmp_path / "lab")
        monkeypatch.setenv("REMSIM_STATE_DIR", str(tmp_path / "host"))
        async with enrolment_server(ca) as server:
            code = ca.authority.make_code(BANK, now=server.now).to_text()
            monkeypatch.setattr(sys, "stdin", io.StringIO(code + "\n"))
            assert await asyncio.to_thread(main, ["enroll", server.url, "-", "--openssl", "--json"]) == 0
            first = json.loads(capsys.readouterr().out)
            assert first["identity"] == "bank/1"
            serial = Credentials(tmp_path / "host" / "tls").certificate().serial
            renew = ["enroll", "--renew", "--state", str(tmp_path / "host")]
            assert await asyncio.to_thread(main, renew) == 0
            assert "renewed as bank/1" in capsys.readouterr().out
            assert Credentials(tmp_path / "host" / "tls").certificate().serial != serial

    def test_directory_of_somebody_else_is_left_alone(self, tmp_path: Path, fail: Say, state: Path) -> None:
        ca = CertificateWorld(tmp_path / "lab")
        ca.credentials(Identity.client(5), folder="../server/tls")
        code = ca.authority.make_code(BANK, now=ca.now).to_text()
        error = fail("https://127.0.0.1:1", code, verb="enroll")
        assert "holds the certificate of client/5; hint: give each identity a directory of its own" in error
        assert Credentials(state / "tls").identity() == Identity.client(5)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "URL and code are missing"),
            (["https://lab"], "URL and code are missing"),
            (["https://lab", "nonsense"], "this is no enrolment code"),
            (["--renew"], "there is no certificate in"),
            (["https://lab", "x", "--renew"], "renewal needs a directory and no code"),
        ],
    )
    def test_mistake_is_one_line_with_a_hint(self, fail: Say, words: list[str], said: str) -> None:
        error = fail(*words, verb="enroll")
        assert said in error
        assert "hint:" in error

    def test_plain_http_is_refused_before_anything_is_sent(self, fail: Say, tmp_path: Path) -> None:
        code = CertificateWorld(tmp_path / "lab").authority.make_code(BANK, now=0).to_text()
        assert "enrolment needs https" in fail("http://127.0.0.1:1", code, verb="enroll")
