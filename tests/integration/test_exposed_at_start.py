# SPDX-License-Identifier: Apache-2.0
"""Programs say at start which files of their state directory others can reach, and go on."""

from pathlib import Path

from tests.doubles.programs import Program, remsim

SERVER = ("server", "--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0")
BANKD = ("bankd", "--plaintext", "--reader", "sim", "--slots", "1", "--listen", "127.0.0.1:0")


def test_database_that_others_can_read_is_named_with_its_mend(tmp_path: Path) -> None:
    command = remsim(*SERVER, "--state", str(tmp_path))
    with Program(command) as first:
        first.wait_for("started version=")
        first.stop()
        assert "files_open_to_others" not in "\n".join(first.stderr.lines)
    path = tmp_path / "server.sqlite"
    path.chmod(0o644)
    with Program(command) as second:
        second.wait_for(rf"files_open_to_others .*chmod 600 {path}")
        second.wait_for("started version=")


def test_list_of_a_bankd_that_others_can_write_is_named_with_its_mend(tmp_path: Path) -> None:
    path = tmp_path / "certified.json"
    path.write_text('{"version": 1, "clients": []}', encoding="utf-8")
    path.chmod(0o622)
    with Program(remsim(*BANKD, "--state", str(tmp_path))) as bank:
        bank.wait_for(rf"files_open_to_others .*chmod 600 {path}")
        bank.wait_for("started version=")


def test_database_elsewhere_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    command = remsim(*SERVER, "--state", str(tmp_path / "state"))
    url = {"REMSIM_DATABASE": f"sqlite+aiosqlite:///{path}"}
    with Program(command, env=url) as first:
        first.wait_for("started version=")
        first.stop()
    path.chmod(0o640)
    with Program(command, env=url) as second:
        second.wait_for(rf"files_open_to_others .*chmod 600 {path}")
