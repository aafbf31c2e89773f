# SPDX-License-Identifier: Apache-2.0
"""``remsim bankd`` over a stand-in pcscd: which reader it takes by itself, and several pcscds."""

from pathlib import Path

import pytest

from tests.doubles.null_pcscd import null_pcscd
from tests.doubles.programs import Program, remsim

_CSV = '"1","0","Null Reader 0000"\n"1","1","Null Reader 0001"\n'


def bankd(folder: Path, socket: Path, *options: str, env: dict[str, str] | None = None) -> Program:
    csv = folder / "slots.csv"
    csv.write_text(_CSV, encoding="utf-8")
    words = ("--plaintext", "--listen", "127.0.0.1:0", "--server", "127.0.0.1:9", "--state", str(folder / "state"))
    return Program(
        remsim("bankd", *words, "--slots", "2", *(options or ("--csv", str(csv)))),
        env={"PCSCLITE_CSOCK_NAME": str(socket), **(env or {})},
    )


@pytest.mark.parametrize("version", ["4:4", "4:5", "4:6"])
def test_pcscd_is_chosen_where_its_version_is_known(tmp_path: Path, version: str) -> None:
    with null_pcscd(tmp_path, env={"VERSION": version, "READERS": "2"}) as pcscd, bankd(tmp_path, pcscd.socket) as bank:
        bank.wait_for(f"reader_chosen reader=pcscd protocol={version}")
        bank.wait_for("readers_found readers=2 slots_with_reader=2")
        bank.wait_for(r"\sstarted( |$)")
        # The loop's own thread pool aside, nothing has a thread.
        names = [path.read_text() for path in Path(f"/proc/{bank.pid}/task").glob("*/comm")]
        assert not [name for name in names if name.startswith("pcsc")]
        assert bank.stop() == 0


def test_library_is_chosen_where_the_socket_does_not_answer(tmp_path: Path) -> None:
    with bankd(tmp_path, tmp_path / "nobody") as bank:
        bank.wait_for(r"reader_chosen reader=pcsc reason=.cannot connect to pcscd.* hint=")
        bank.wait_for("pcsc_service_gone")
        assert bank.stop() == 0


def test_pcscd_is_waited_for_where_there_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "there = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'smartcard' else there(name, package)\n",
        encoding="utf-8",
    )
    with bankd(tmp_path, tmp_path / "null.comm", env={"PYTHONPATH": str(tmp_path)}) as bank:
        bank.wait_for("pcsc_service_gone error=.cannot connect to pcscd")
        with null_pcscd(tmp_path, env={"READERS": "2"}):
            bank.wait_for("pcsc_service_back readers=2")
            assert bank.stop() == 0


def test_named_reader_is_taken_without_asking(tmp_path: Path) -> None:
    with null_pcscd(tmp_path, env={"READERS": "2"}) as pcscd:
        for reader in ("pcscd", "pcsc"):
            with bankd(tmp_path, pcscd.socket, "--csv", str(tmp_path / "slots.csv"), "--reader", reader) as bank:
                bank.wait_for("readers_found readers=2 slots_with_reader=2")
                assert bank.stop() == 0
                assert not any("reader_chosen" in line for line in bank.stderr.lines)


def test_readers_of_several_pcscds_are_served_by_one_bank(tmp_path: Path) -> None:
    with null_pcscd(tmp_path, "one", {"READERS": "16"}) as one, null_pcscd(tmp_path, "two", {"READERS": "16"}) as two:
        config = tmp_path / "bankd.toml"
        config.write_text(
            f"""
            [[pcscd]]
            socket = "{one.socket}"
            name = "left"
            [[pcscd]]
            socket = "{two.socket}"
            [[slot]]
            slot = 0
            reader = "left/Null Reader 0000 00"
            [[slot]]
            slot = 1
            reader = "2/Null Reader 0000 00"
            """,
            encoding="utf-8",
        )
        with bankd(tmp_path, tmp_path / "nobody", "--config", str(config)) as bank:
            bank.wait_for("readers_found readers=32 slots_with_reader=2")
            bank.wait_for("pcsc_readers_at_limit readers=16 protocol=4:4 .* hint=.*pcscd")
            assert bank.stop() == 0
