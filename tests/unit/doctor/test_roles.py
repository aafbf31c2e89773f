# SPDX-License-Identifier: Apache-2.0
"""Which programs a host is for, and what each of them is configured to do."""

import os
from pathlib import Path

import pytest

from remsim.config import HostPort
from remsim.core.finding import Outcome
from remsim.core.identity import Role
from remsim.doctor.check import Situation
from remsim.doctor.configuration import Given, check_configuration, read_situation
from remsim.doctor.roles import find_places, place_of, role_of_file


@pytest.mark.parametrize(
    ("values", "role"),
    [
        ({}, Role.CLIENT),
        ({"server": "h:1"}, Role.CLIENT),
        ({"server": "h:1", "client": "7:0", "vpcd": "h:1"}, Role.CLIENT),
        ({"server": "h:1", "slot": [{"emulator": "vpcd"}]}, Role.CLIENT),
        ({"server": "h:1", "slot": [{"slot": 0, "reader": "x"}]}, Role.BANK),
        ({"server": "h:1", "bank_id": 2, "slots": 2}, Role.BANK),
        ({"rspro": ":9998", "rest": ":9997"}, Role.SERVER),
        ({"slot": "nonsense", "rest": ":1", "policy": "policy.toml"}, Role.SERVER),
    ],
)
def test_program_of_a_file_is_recognised(values: dict[str, object], role: Role) -> None:
    assert role_of_file(values) is role


def roles(home: Path, **environ: str) -> list[Role]:
    places = find_places({"HOME": str(home)} | environ, settings=home / "etc", states=home / "var")
    return [place.role for place in places]


def test_host_where_nothing_is_configured_is_a_clients(tmp_path: Path) -> None:
    (place,) = find_places({"HOME": str(tmp_path)}, settings=tmp_path / "etc", states=tmp_path / "var")
    assert (place.role, place.why) == (Role.CLIENT, "nothing is configured here")


@pytest.mark.parametrize(
    ("there", "role"),
    [
        ("client/tls", Role.CLIENT),
        ("bank-1/slots.json", Role.BANK),
        ("bank-7/tls", Role.BANK),
        ("server/server.sqlite", Role.SERVER),
        ("server/ca", Role.SERVER),
    ],
)
def test_state_of_a_program_tells(there: str, role: Role, tmp_path: Path) -> None:
    (tmp_path / ".local/state/remsim" / there).mkdir(parents=True)
    assert roles(tmp_path) == [role]


def test_every_program_of_a_host_is_found(tmp_path: Path) -> None:
    for there in ("client/tls", "bank-1/tls", "server/tls"):
        (tmp_path / ".local/state/remsim" / there).mkdir(parents=True)
    assert set(roles(tmp_path)) == set(Role)


def test_every_bank_of_a_host_is_found(tmp_path: Path) -> None:
    for there in ("bank-1/tls", "bank-7/tls"):
        (tmp_path / ".local/state/remsim" / there).mkdir(parents=True)
    places = find_places({"HOME": str(tmp_path)}, settings=tmp_path / "etc", states=tmp_path / "var")
    assert [place.state and place.state.name for place in places] == ["bank-1", "bank-7"]


def test_services_are_found_with_their_settings_and_state(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "bankd.toml").write_text('server = "h:1"\n')
    (tmp_path / "var" / "remsim-bankd").mkdir(parents=True)
    (place,) = find_places({}, settings=tmp_path / "etc", states=tmp_path / "var")
    assert (place.role, place.config, place.state) == (
        Role.BANK,
        tmp_path / "etc" / "bankd.toml",
        tmp_path / "var" / "remsim-bankd",
    )
    situation = read_situation(file=place.config, environ={}, given=Given(state=str(place.state)), role=place.role)
    assert situation.tls_dir == tmp_path / "var" / "remsim-bankd" / "tls"


def test_file_that_is_named_decides_alone(tmp_path: Path) -> None:
    (tmp_path / ".local/state/remsim/server/tls").mkdir(parents=True)
    file = tmp_path / "any.toml"
    file.write_text("bank_id = 2\n")
    assert roles(tmp_path, REMSIM_CONFIG=str(file)) == [Role.BANK]
    file.write_text("= broken")
    assert roles(tmp_path, REMSIM_CONFIG=str(file)) == [Role.CLIENT]


def test_role_that_is_asked_for_is_looked_at_without_anything_there(tmp_path: Path) -> None:
    place = place_of(Role.SERVER, {"HOME": str(tmp_path)}, settings=tmp_path, states=tmp_path)
    assert (place.role, place.config, place.state) == (Role.SERVER, None, None)


@pytest.mark.parametrize(("role", "folder"), [(Role.CLIENT, "client"), (Role.BANK, "bank-1"), (Role.SERVER, "server")])
def test_certificate_is_where_the_program_has_it(role: Role, folder: str, tmp_path: Path) -> None:
    situation = read_situation(file=None, environ={"HOME": str(tmp_path)}, role=role)
    assert situation.tls_dir == tmp_path / ".local/state/remsim" / folder / "tls"
    assert not situation.is_tls_demanded
    named = read_situation(file=None, environ={}, given=Given(tls="/t", state="/s"), role=role)
    assert (named.tls_dir, named.is_tls_demanded) == (Path("/t"), True)
    moved = read_situation(file=None, environ={}, given=Given(state="/s"), role=role)
    assert moved.tls_dir == Path("/s/tls")


def test_environment_counts_as_with_the_programs(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "REMSIM_SERVER": "h:7", "REMSIM_TLS_DIR": "/t", "REMSIM_PLAINTEXT": "1"}
    situation = read_situation(file=None, environ=environ)
    assert (situation.server, situation.tls_dir, situation.is_plain_allowed) == (HostPort("h", 7), Path("/t"), True)


async def test_file_that_only_the_service_can_read_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bankd.toml"
    file.write_text("")
    situation = Situation(HostPort("h", 1), source=str(file), trouble="cannot read it", role=Role.BANK)
    (finding,) = await check_configuration(situation)
    assert finding.outcome is Outcome.PROBLEM
    monkeypatch.setattr(os, "access", lambda _path, mode: mode == os.F_OK)
    (finding,) = await check_configuration(situation)
    assert (finding.outcome, finding.text.startswith("not looked at: ")) == (Outcome.NOTE, True)


@pytest.mark.parametrize(
    ("role", "text", "told"),
    [
        (Role.BANK, "bank_id = 3\nslots = 2\n", "describes bank 3 with 2 slots"),
        (Role.SERVER, 'rspro = ":9998"\n', "describes a server"),
    ],
)
async def test_files_of_bank_and_server_are_read(role: Role, text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "it.toml"
    file.write_text(text)
    (finding,) = await check_configuration(read_situation(file=file, environ={"HOME": str(tmp_path)}, role=role))
    assert (finding.outcome, finding.text) == (Outcome.OK, f"{file} {told}")
    file.write_text("bank = 3\n")
    situation = read_situation(file=file, environ={"HOME": str(tmp_path)}, role=role)
    (finding,) = await check_configuration(situation)
    assert finding.outcome is Outcome.PROBLEM
    assert "unknown key" in finding.text
    assert (situation.role, situation.tls_dir is not None) == (role, True)
