# SPDX-License-Identifier: Apache-2.0
"""The namespaces with a real pcscd do what the other tests rely on, and leave nothing behind."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.doubles.pcscd import READER_NAMES, VPCD_PORTS, PcscdNamespace
from tests.doubles.programs import PATIENCE_S, Program, remsim
from tests.reference import ROOT

_ATR = "3B 9F 96 80 1F C7 80 31 E0 73 FE 21 1B 63 3A 10 4E 83 00 90 00 75"

#: Opens the namespaces in another process, so that this one's sudden end can be watched from outside.
_ELSEWHERE = """
import pathlib, signal, sys
from tests.doubles.pcscd import PcscdNamespace
# A runner that a script started in the background ignores Ctrl-C, and so would this one.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with PcscdNamespace(pathlib.Path(sys.argv[1])) as namespace:
        print(namespace.pcscd.pid, flush=True)
        signal.pause()
except KeyboardInterrupt:
    pass
"""


def _card(namespace: PcscdNamespace, port: int) -> Program:
    return namespace.program([sys.executable, "-m", "tests.doubles.vpcd_card", str(port), _ATR])


def test_readers_are_listed_and_a_card_is_seen_with_its_atr(pcscd_namespace: PcscdNamespace) -> None:
    scan = pcscd_namespace.program(["pcsc_scan", "-n"])
    for name in READER_NAMES:
        scan.wait_for_stdout(name)
    before = len(scan.stdout.lines)
    card = _card(pcscd_namespace, VPCD_PORTS[1])
    scan.wait_for_stdout(f"ATR: {_ATR}", after=before)
    before = len(scan.stdout.lines)
    card.kill()
    scan.wait_for_stdout("Card removed", after=before)


def test_command_reaches_the_card_through_pcscd(pcscd_namespace: PcscdNamespace) -> None:
    scan = pcscd_namespace.program(["pcsc_scan", "-n"])
    _card(pcscd_namespace, VPCD_PORTS[0])
    scan.wait_for_stdout(f"ATR: {_ATR}")
    result = pcscd_namespace.run(["opensc-tool", "--reader", "0", "--card-driver", "default", "-s", "00A4000C023F00"])
    assert "SW1=0x6D, SW2=0x00" in result.stdout, result


@pytest.mark.parametrize("end", [Program.stop, Program.kill])
def test_pcscd_restarted_serves_again(pcscd_namespace: PcscdNamespace, end: type) -> None:
    end(pcscd_namespace.pcscd)
    assert pcscd_namespace.run(["pcsc_scan", "-r"]).returncode != 0
    pcscd_namespace.start_pcscd()
    assert READER_NAMES[0] in pcscd_namespace.run(["pcsc_scan", "-r"]).stdout


def test_host_network_and_runtime_folder_are_out_of_reach(pcscd_namespace: PcscdNamespace) -> None:
    assert "pcscd" in pcscd_namespace.run(["ls", "/run"]).stdout.split()
    links = pcscd_namespace.run(["ip", "-brief", "link"]).stdout.splitlines()
    assert [line.split()[0] for line in links] == ["lo"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_runner_ended_by_signal_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    runner = subprocess.Popen(
        [sys.executable, "-c", _ELSEWHERE, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with runner:
        assert runner.stdout is not None
        pcscd = psutil.Process(int(runner.stdout.readline()))
        family = {pcscd, *psutil.Process(runner.pid).children(recursive=True)}
        assert {process.name() for process in family} >= {"pcscd", "sh"}
        runner.send_signal(number)
        runner.wait(PATIENCE_S)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    assert not alive


def test_program_of_this_environment_is_found() -> None:
    assert Path(remsim("--help")[0]).is_file()
