# SPDX-License-Identifier: Apache-2.0
"""The classic names: their options, defaults and exit statuses (rspro.md, section 12). The services are fakes."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from remsim.cli import classic
from remsim.config import BankdConfig, ClientConfig, ClientRunConfig, HostPort, ServerConfig, parse_settings
from remsim.config.simtrace2 import SimtraceSettings
from remsim.core.errors import ConfigError
from remsim.core.ids import ClientSlot
from remsim.net.runtime.report import say_error

PROGRAMS = {
    "server": classic.server,
    "bankd": classic.bankd,
    "client": classic.client_shell,
    "st2": classic.client_st2,
    "tool": classic.apitool,
}


class Services:
    """What the services were called with, and the status that they return."""

    def __init__(self) -> None:
        self.configs: list[object] = []
        self.status = 0

    def serve(self, config: object) -> int:
        self.configs.append(config)
        return self.status


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    result = Services()
    for module in ("server.service", "bankd.service", "client.commands"):
        fake = ModuleType(f"remsim.{module}")
        fake.__dict__["serve"] = fake.__dict__["shell"] = fake.__dict__["run"] = result.serve
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("REMSIM_")}
    monkeypatch.setattr(os, "environ", {**environ, "HOME": "/somewhere"})
    return result


@pytest.fixture
def slots_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the CSV file were in the current folder."""
    monkeypatch.setattr(Path, "is_file", lambda path: path.name == classic.CSV_NAME)


def run(program: Callable[[list[str]], int], words: str) -> int:
    return program(words.split())


def test_server_listens_where_the_classic_one_does(services: Services) -> None:
    assert run(classic.server, "-d DMAIN,3 -L --plaintext --rest-open") == 0
    config = services.configs[0]
    assert isinstance(config, ServerConfig)
    assert (config.rspro, config.rest) == (HostPort("", 9998), HostPort("127.0.0.1", 9997))
    assert (config.plaintext is not None, config.rest_open, config.log_level) == (True, True, "info")


def test_server_yields_to_the_environment(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "REMSIM_REST", "127.0.0.1:1")
    assert run(classic.server, "-d DMAIN,3:DRSPRO,1") == 0
    config = services.configs[0]
    assert isinstance(config, ServerConfig)
    assert (config.rest, config.log_level) == (HostPort("127.0.0.1", 1), "debug")


@pytest.mark.usefixtures("slots_file")
def test_bankd_options_become_its_configuration(services: Services) -> None:
    words = "-i h -p 1 -b 7 -n 4 -N rack -I 127.0.0.1 -P 2 -s -g 127.0.0.1 -G 3 -T -L -e 1"
    assert run(classic.bankd, words) == 0
    config = services.configs[0]
    assert isinstance(config, BankdConfig)
    assert (config.server, config.bank_id, config.slots) == (HostPort("h", 1), 7, 4)
    assert (config.listen, config.name, config.shared_access) == (HostPort("127.0.0.1", 2), "rack", True)
    assert (config.gsmtap, config.gsmtap_slot) == (HostPort("127.0.0.1", 4729), 3)
    assert (config.csv, config.log_level) == (Path(classic.CSV_NAME), "debug")


@pytest.mark.usefixtures("slots_file")
def test_bankd_defaults_are_the_classic_ones(services: Services) -> None:
    assert run(classic.bankd, f"-i ::1 -G 3 -N {'n' * 40}") == 0
    config = services.configs[0]
    assert isinstance(config, BankdConfig)
    assert (config.server, config.listen) == (HostPort("::1", 9998), HostPort("", 9999))
    assert (config.bank_id, config.slots, config.shared_access) == (1, 8, False)
    assert (config.gsmtap, config.gsmtap_slot, config.name) == (None, None, "n" * 32)


def test_bankd_without_csv_file_ends_with_1(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(classic.bankd, "-i h") == 1
    assert capsys.readouterr().err.startswith("remsim-bankd: there is no bankd_pcsc_slots.csv")
    assert not services.configs


@pytest.mark.usefixtures("slots_file")
@pytest.mark.parametrize(("status", "expected"), [(2, 1), (130, 130), (1, 1)])
def test_bankd_with_a_bad_csv_file_ends_with_1(services: Services, status: int, expected: int) -> None:
    services.status = status
    assert run(classic.bankd, "-i h") == expected


def test_bankd_takes_other_readers_from_the_environment(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "REMSIM_READER", "sim")
    assert run(classic.bankd, "-i h") == 0
    config = services.configs[0]
    assert isinstance(config, BankdConfig)
    assert (config.reader, config.csv) == ("sim", None)


@pytest.mark.parametrize(
    ("number", "level"), [("1", "debug"), ("3", "info"), ("5", "warning"), ("7", "error"), ("8", "error")]
)
@pytest.mark.usefixtures("slots_file")
def test_bankd_log_level_is_translated(services: Services, number: str, level: str) -> None:
    assert run(classic.bankd, f"-i h -e {number}") == 0
    config = services.configs[0]
    assert isinstance(config, BankdConfig)
    assert config.log_level == level


def test_client_options_become_its_configuration(services: Services) -> None:
    assert run(classic.client_shell, "-i h -p 1 -c 7 -n 1 -a 3b9f00 -r -L -d DMAIN,3") == 0
    config = services.configs[0]
    assert isinstance(config, ClientConfig)
    assert (config.server, config.client) == (HostPort("h", 1), ClientSlot(7, 1))
    assert (config.atr, config.atr_ignore_rspro) == (bytes.fromhex("3b9f00"), True)


def test_client_defaults_are_the_classic_ones(services: Services) -> None:
    assert run(classic.client_shell, "-e /bin/true") == 0
    config = services.configs[0]
    assert isinstance(config, ClientConfig)
    assert (config.server, config.client) == (HostPort("127.0.0.1", 9998), ClientSlot(0, 0))
    assert (config.atr, config.atr_ignore_rspro) == (b"\x3b\x00", False)
    assert config.event_script == "/bin/true"


def test_simtrace2_options_become_one_slot(services: Services) -> None:
    words = "-i h -p 1 -c 7 -n 1 -a 3b9f00 -r -e /bin/true -V 1d50 -P 4004 -C 1 -I 0 -S 0 -A 12 -H 2-1.1 -Z 1 -d x,1 -L"
    assert run(classic.client_st2, words) == 0
    config = services.configs[0]
    assert isinstance(config, ClientRunConfig)
    assert (config.server, config.log_level) == (HostPort("h", 1), "debug")
    (slot,) = config.slot
    assert (slot.client, slot.emulator, slot.event_script) == (ClientSlot(7, 1), "simtrace2", "/bin/true")
    assert (slot.atr, slot.atr_ignore_rspro) == (bytes.fromhex("3b9f00"), True)
    assert slot.settings == {
        "vendor": "1d50",
        "product": "4004",
        "config": "1",
        "interface": "0",
        "altsetting": "0",
        "address": "12",
        "path": "2-1.1",
        "presence": "high",
    }
    assert parse_settings(SimtraceSettings, slot.settings, where="settings").vendor == 0x1D50


def test_simtrace2_takes_any_device_by_default(services: Services) -> None:
    assert run(classic.client_st2, "-C -1 -Z 0") == 0
    config = services.configs[0]
    assert isinstance(config, ClientRunConfig)
    (slot,) = config.slot
    assert (slot.client, slot.atr, slot.settings) == (ClientSlot(0, 0), b"\x3b\x00", {"presence": "low"})


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("server", "x"),
        ("server", "-q"),
        ("bankd", ""),
        ("bankd", "-i"),
        ("bankd", "-i h x"),
        ("bankd", "-i h -b 5000"),
        ("bankd", "-i h -b -1"),
        ("bankd", "-i h -n 0"),
        ("bankd", "-i h -p x"),
        ("bankd", "-i h -P 70000"),
        ("bankd", "-i h -e loud"),
        ("client", "x"),
        ("client", "-c 5000"),
        ("client", "-n -1"),
        ("client", "-a 3b"),
        ("client", f"-a {'3b' * 56}"),
        ("client", "-a zz"),
        ("st2", "x"),
        ("st2", "-c 5000"),
        ("st2", "-n 2000"),
        ("st2", "-Z 2"),
        ("st2", "-a 3b"),
        ("tool", "-c -r"),
        ("tool", "-m 1 2 3"),
        ("tool", "-m a b c d"),
        ("tool", "-m 1 0 5000 0"),
        ("tool", "-d 1 -1"),
        ("tool", "-p x"),
        ("tool", "x"),
    ],
)
def test_wrong_command_line_is_one_line_and_status_2(
    services: Services, program: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(PROGRAMS[program], words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not services.configs


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("option", ["-h", "--version"])
def test_help_and_version_end_with_0(program: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        PROGRAMS[program]([option])
    assert caught.value.code == 0
    assert "remsim-" in capsys.readouterr().out


def test_words_come_from_the_process_by_default(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["remsim-server", "-L"])
    assert classic.server() == 0
    assert services.configs


@pytest.mark.parametrize(
    ("program", "words", "error"),
    [
        (classic.client_shell, "-c 5000", "remsim-client-shell: -c, -n: client id 5000 is outside 0..1023"),
        (classic.client_shell, "-a zz", "remsim-client-shell: -a: 'zz' is not a row of bytes in hex"),
        (classic.client_shell, "-p x", "remsim-client-shell: -i, -p: 'x' in '127.0.0.1:x' is no port number"),
        (classic.client_st2, "-c 5000", "remsim-client-st2: -c, -n: client id 5000 is outside 0..1023"),
        (classic.client_st2, "-V zz", "remsim-client-st2: -V: 'zz' must be a string"),
        (classic.bankd, "-i h -b 9999", "remsim-bankd: -b: '9999' is outside 0..1023"),
        (classic.bankd, "-i h -n 0", "remsim-bankd: -n: '0' is outside 1..1023"),
        (classic.bankd, "-i h -P x", "remsim-bankd: -I, -P: 'x' in ':x' is no port number"),
        (classic.bankd, "-i h -e x", "remsim-bankd: -e x: is not a log level"),
        (classic.server, "--foo", "remsim-server: unrecognized arguments: --foo"),
        (
            classic.bankd,
            "-i ::1 -b",
            "remsim-bankd: argument -b/--bank-id: expected one argument; hint: see remsim-bankd -h",
        ),
        (
            classic.client_shell,
            "--card-wait-s 1",
            "remsim-client-shell: unrecognized arguments: --card-wait-s 1; hint: see remsim-client-shell -h",
        ),
        (classic.server, "--plaintext=zz", "remsim-server: --plaintext: 'zz' is not a network"),
        (classic.apitool, "-d 1 5000", "remsim-apitool: "),
    ],
)
def test_errors_speak_of_the_name_and_the_options_that_were_used(
    program: Callable[[Sequence[str]], int], words: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program(words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith(error)
    assert "remsim client" not in said
    assert "--help" not in said
    # What runs next in the same process has its own name again.
    say_error("x", program="bankd")
    assert capsys.readouterr().err == "remsim bankd: x\n"


def test_setting_without_a_classic_option_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_config: object) -> int:
        raise ConfigError("this is wrong", hint="see --read-numbers; or remsim bankd --help")

    monkeypatch.setattr("remsim.bankd.service.serve", fail)
    monkeypatch.setenv("REMSIM_READER", "sim")
    assert classic.bankd(["-i", "h", "--plaintext"]) == 2
    assert "see REMSIM_READ_NUMBERS; or remsim-bankd -h" in capsys.readouterr().err
