# SPDX-License-Identifier: Apache-2.0
"""``remsim server init``: all that a new server needs, once; whatever exists is kept."""

import getpass
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from remsim.cli.main import main
from remsim.config import ServerConfig
from remsim.core.identity import Identity
from remsim.net.tls.contexts import TlsContexts
from remsim.pki.authority import Authority
from remsim.pki.credentials import Credentials
from remsim.server.core.tokens import TokenRole, token_id_of
from remsim.server.store.tokens import list_tokens
from tests.doubles.certificates import BANK, DAY_S, SERVER, CertificateWorld

Init = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The server's state directory, which is not there yet."""
    return tmp_path / "server"


@pytest.fixture
def init(state: Path, capsys: pytest.CaptureFixture[str]) -> Init:
    """Runs the command there and gives what it prints: stdout, and the lines on stderr."""

    def run(*words: str) -> tuple[str, list[str]]:
        assert main(["server", "init", "--state", str(state), *words]) == 0, capsys.readouterr().err
        said = capsys.readouterr()
        return said.out, said.err.splitlines()

    return run


def fails(
    state: Path, capsys: pytest.CaptureFixture[str], *words: str, verb: tuple[str, ...] = ("server", "init")
) -> str:
    """The one line in which the command fails."""
    assert main([*verb, "--state", str(state), *words]) != 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_new_server_gets_authority_certificate_and_the_token_of_an_admin(init: Init, state: Path) -> None:
    token, lines = init("--name", "lab", "--host", "lab.example")
    authority, own = Authority(state / "ca"), Credentials(state / "tls")
    assert TlsContexts(own).identity == Identity.server("lab")
    assert own.certificate().hosts == ("lab.example",)
    assert own.authority() == authority.certificate
    (record,) = list_tokens(ServerConfig(state_dir=state))
    assert token == f"{token.strip()}\n"
    assert record.token_id == token_id_of(token.strip())
    assert (record.role, record.name, record.scope.is_limited) == (TokenRole.ADMIN, getpass.getuser(), False)
    assert lines[0] == f"authority created in {state / 'ca'}"
    assert lines[1] == f"SHA-256 {authority.fingerprint.hex()}"
    assert lines[2].startswith("this server is server/lab, until 2")
    assert lines[3].startswith("next: remsim server; then a code for each bank and client: remsim pki code")
    assert lines[4].startswith(f"token {record.token_id} (admin) for {record.name}; it is shown once")
    assert token.strip() not in "\n".join(lines)


def test_token_goes_to_a_new_file_that_only_its_user_can_read(
    init: Init, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "admin.token"
    path.write_text("another's", encoding="utf-8")
    assert f"{path} exists already" in fails(state, capsys, "--to", str(path)).splitlines()[-1]
    # No token was made for it.
    assert list_tokens(ServerConfig(state_dir=state)) == []
    path.unlink()
    before = os.umask(0)
    try:
        out, lines = init("--to", str(path))
    finally:
        os.umask(before)
    (record,) = list_tokens(ServerConfig(state_dir=state))
    assert out == ""
    assert lines[4].endswith(f'use it with: REMSIM_TOKEN="$(cat {path})"')
    assert path.stat().st_mode & 0o777 == 0o600
    assert token_id_of(path.read_text(encoding="utf-8").removesuffix("\n")) == record.token_id
    # Run again, it makes none and leaves the file alone.
    assert init("--to", str(path))[1][-1].startswith("there was a token already")
    assert json.loads(init("--to", str(path), "--json")[0])["token"] is None


def test_everything_is_for_this_user_only(init: Init, state: Path) -> None:
    init()
    assert [path.stat().st_mode & 0o777 for path in (state, state / "ca", state / "tls")] == [0o700] * 3


def test_second_run_keeps_everything_and_says_so(init: Init, state: Path) -> None:
    init("--name", "lab")
    before = Authority(state / "ca").fingerprint, Credentials(state / "tls").stamps()
    token, lines = init("--name", "other", "--token-name", "b")
    assert token == ""
    assert lines[0] == f"authority kept in {state / 'ca'}"
    assert lines[2].startswith("this server is server/lab, until 2")
    assert lines[2].endswith(" (kept)")
    assert lines[-1] == "there was a token already, and none was made; make more with: remsim token create"
    assert (Authority(state / "ca").fingerprint, Credentials(state / "tls").stamps()) == before
    assert len(list_tokens(ServerConfig(state_dir=state))) == 1


def test_what_an_interrupted_run_left_out_is_added(init: Init, state: Path) -> None:
    init("--name", "lab")
    fingerprint = Authority(state / "ca").fingerprint
    Credentials(state / "tls").pair_file.unlink()
    (state / "server.sqlite").unlink()
    token, lines = init("--name", "lab")
    assert token_id_of(token.strip()) is not None
    assert lines[0].startswith("authority kept")
    assert not lines[2].endswith("(kept)")
    assert Authority(state / "ca").fingerprint == fingerprint
    assert TlsContexts(Credentials(state / "tls")).identity == Identity.server("lab")


def test_revoked_token_is_followed_by_none_unasked(init: Init, state: Path) -> None:
    token, _ = init()
    assert main(["token", "revoke", str(token_id_of(token.strip())), "--state", str(state)]) == 0
    assert init()[0].startswith("revoked ")
    assert init()[0] == ""


def test_json_has_it_all(init: Init, state: Path) -> None:
    first = json.loads(init("--name", "lab", "--token-name", "alice", "--json")[0])
    own = Credentials(state / "tls").certificate()
    assert first["directory"] == str(state)
    assert first["authority"] == Authority(state / "ca").fingerprint.hex()
    assert (first["isAuthorityNew"], first["isServerNew"]) == (True, True)
    assert (first["server"]["identity"], first["server"]["serial"]) == ("server/lab", f"{own.serial:x}")
    assert first["server"]["expiresAt"].endswith("Z")
    (record,) = list_tokens(ServerConfig(state_dir=state))
    assert (record.token_id, record.name) == (token_id_of(first["token"]), "alice")
    again, lines = init("--json")
    found = json.loads(again)
    assert (found["isAuthorityNew"], found["isServerNew"], found["token"]) == (False, False, None)
    assert found["authority"] == first["authority"]
    assert lines == []


def test_expired_certificate_is_kept_and_told(init: Init, state: Path) -> None:
    ca = CertificateWorld(state.parent / "lab")
    state.mkdir(mode=0o700)
    ca.credentials(SERVER, folder="../server/tls", now=ca.now - 91 * DAY_S)
    (ca.directory / "ca").rename(state / "ca")
    _, lines = init()
    assert "its certificate has expired: remsim server renews it when it starts" in lines


def test_expired_certificate_of_an_authority_elsewhere_takes_enrolment(init: Init, state: Path) -> None:
    ca = CertificateWorld(state.parent / "lab")
    state.mkdir(mode=0o700)
    ca.credentials(SERVER, folder="../server/tls", now=ca.now - 91 * DAY_S)
    assert "its certificate has expired: enrol this host again" in init()[1]


def test_server_of_an_authority_elsewhere_gets_a_token_only(init: Init, state: Path) -> None:
    state.mkdir(mode=0o700)
    CertificateWorld(state.parent / "lab").credentials(SERVER, folder="../server/tls")
    token, lines = init()
    assert lines[0] == "no authority was made: this server has a certificate of one elsewhere"
    assert not (state / "ca").exists()
    assert token_id_of(token.strip()) is not None
    assert json.loads(init("--json")[0])["authority"] is None


class TestRefusals:
    def test_directory_of_another_program(self, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
        state.mkdir(mode=0o700)
        CertificateWorld(state.parent / "lab").credentials(BANK, folder="../server/tls")
        assert "is for bank/1, not for a server; hint: give each program a directory" in fails(state, capsys)
        assert sorted(path.name for path in state.iterdir()) == ["tls"]

    def test_certificate_of_another_authority(
        self, init: Init, state: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        init("--name", "lab")
        CertificateWorld(state.parent / "lab").credentials(SERVER, folder="../server/tls")
        said = fails(state, capsys)
        assert "is not of the authority in" in said
        assert f"replace it with: remsim pki issue server/lab --out {state / 'tls'}" in said

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--name", "a b"), "is no name of a server"),
            (("--host", "läb"), "neither an address nor an ASCII host name"),
            (("--token-name", ""), "a token's name has 1..64 printable characters"),
        ],
    )
    def test_mistake_leaves_no_authority_behind(
        self, state: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert said in fails(state, capsys, *words)
        assert not (state / "ca").exists()

    def test_directory_that_others_can_reach(self, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
        state.mkdir(mode=0o755)
        state.chmod(0o755)
        assert f"hint: run: chmod 700 {state}" in fails(state, capsys)

    @pytest.mark.parametrize(
        "verb",
        [("server", "init"), ("token", "create", "a"), ("pki", "init"), ("enroll", "https://127.0.0.1:1", "CODE")],
        ids=lambda verb: verb[0],
    )
    def test_root_is_told_to_work_as_the_user_of_the_service(
        self, state: Path, verb: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ca = CertificateWorld(state.parent / "lab")
        words = [ca.authority.make_code(BANK, now=ca.now).to_text() if word == "CODE" else word for word in verb]
        state.mkdir(mode=0o700)
        found, stat = state.stat(), Path.stat
        foreign = os.stat_result((*found[:4], 65534, *found[5:10]))
        # Nobody but root can make a directory of somebody else, and no test is root everywhere.
        monkeypatch.setattr(Path, "stat", lambda path, **how: foreign if path == state else stat(path, **how))
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        said = fails(state, capsys, verb=tuple(words))
        assert f"{state} belongs to another user; hint: run this as its owner, for example with: sudo -u nobody" in said
        assert not list(state.iterdir())


def test_server_without_certificate_names_it(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(state, capsys, verb=("server",))
    assert (
        "RSPRO over plain TCP is not allowed; hint: make one, an authority and a token with: remsim server init" in said
    )


def test_bankd_without_certificate_names_enrolment(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(state, capsys, verb=("bankd", "--reader", "sim"))
    assert "hint: enrol this host (remsim enroll URL CODE), or allow plain TCP" in said


def test_help_of_the_server_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "--help"]) == 0
    assert "init" in capsys.readouterr().out
    assert main(["server", "init", "--help"]) == 0
    assert "--token-name" in capsys.readouterr().out
