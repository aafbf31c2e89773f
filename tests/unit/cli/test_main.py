# SPDX-License-Identifier: Apache-2.0
"""The ``remsim`` command: commands, options to configuration, outcome to exit status. The services are fakes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from remsim import __version__
from remsim.cli.main import COMMANDS, expand_bare_plaintext, guarded, main
from remsim.config import LOOPBACK_NETWORKS, BankdConfig, ClientConfig, HostPort, ServerConfig
from remsim.core.errors import StartError
from remsim.core.ids import ClientSlot
from remsim.core.installation import install_command

Calls = list[tuple[object, ...]]


def _recorder(calls: Calls, status: int) -> Callable[..., int]:
    def serve(*given: object, **named: object) -> int:
        calls.append((*given, *named.items()))
        return status

    return serve


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What the services were called with; each returns 7."""
    result: Calls = []
    for module, names in {
        "server.service": ["serve"],
        "bankd.service": ["serve"],
        "client.commands": ["shell", "script"],
    }.items():
        fake = ModuleType(f"remsim.{module}")
        for name in names:
            setattr(fake, name, _recorder(result, 7))
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return result


def test_server_options_become_its_configuration(calls: Calls) -> None:
    words = "server --rspro 127.0.0.1:1 --rest 127.0.0.1:2 --state d --metrics :3 --dial-bank a:4 --dial-bank b"
    assert main([*words.split(), "--plaintext", "--rest-open", "--client-id-pool", "900-901", "--log-level=debug"]) == 7
    config = calls[0][0]
    assert isinstance(config, ServerConfig)
    assert (config.rspro, config.rest) == (HostPort("127.0.0.1", 1), HostPort("127.0.0.1", 2))
    assert (config.state_dir, config.metrics) == (Path("d"), HostPort("", 3))
    assert config.dial_bank == (HostPort("a", 4), HostPort("b", 9999))
    assert (config.plaintext, config.rest_open) == (LOOPBACK_NETWORKS, True)
    assert (config.client_id_pool, config.log_level) == ((900, 901), "debug")


def test_bankd_options_become_its_configuration(calls: Calls) -> None:
    words = (
        "bankd --server h:1 --bank-id 7 --slots 4 --listen 127.0.0.1:2 --reader sim --advertise 192.0.2.1:3 --state d"
        " --gsmtap 127.0.0.1 --gsmtap-slot 3 --shared --name rack --plaintext=10.0.0.0/8 --card-deadline-s 2"
    )
    assert main(words.split()) == 7
    config = calls[0][0]
    assert isinstance(config, BankdConfig)
    assert (config.server, config.bank_id, config.slots) == (HostPort("h", 1), 7, 4)
    assert (config.listen, config.reader) == (HostPort("127.0.0.1", 2), "sim")
    assert config.advertise == (HostPort("192.0.2.1", 3),)
    assert (config.gsmtap, config.gsmtap_slot) == (HostPort("127.0.0.1", 4729), 3)
    assert (config.shared_access, config.name, config.card_deadline_s) == (True, "rack", 2.0)
    assert [str(network) for network in config.plaintext_networks] == ["10.0.0.0/8"]


def test_bankd_without_options_has_defaults(calls: Calls) -> None:
    assert main(["bankd"]) == 7
    config = calls[0][0]
    assert isinstance(config, BankdConfig)
    assert config.state_dir == Path("/somewhere/.local/state/remsim/bank-1")


def test_client_shell_gets_its_configuration(calls: Calls) -> None:
    assert main(["client", "shell", "--server", "h:1", "--client", "7:1", "--atr", "3b9f", "--atr-ignore-rspro"]) == 7
    config = calls[0][0]
    assert isinstance(config, ClientConfig)
    assert (config.server, config.client) == (HostPort("h", 1), ClientSlot(7, 1))
    assert (config.atr, config.atr_ignore_rspro) == (b"\x3b\x9f", True)


def test_client_script_gets_its_file(calls: Calls) -> None:
    assert main(["client", "script", "boot.jsonl", "--server", "h", "--literal"]) == 7
    assert calls[0][1] == Path("boot.jsonl")
    assert {("literal", True), ("as_json", False)} <= set(calls[0][2:])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nope", "remsim: there is no command 'nope'; hint: commands are"),
        ("sever", "remsim: there is no command 'sever'; hint: did you mean server?"),
        ("--nope", "remsim: unknown option --nope; hint: "),
        ("server --nope", "remsim server: Unknown option: --nope"),
        ("server x y", "remsim server: unexpected: x y; hint: see remsim server --help"),
        ("server --rspro", "remsim server: Parameter --rspro requires an argument; hint: "),
        ("bankd --bank-id 1024", "remsim bankd: --bank-id: '1024' is outside 0..1023; hint: "),
        ("bankd --bank-id -1", "remsim bankd: --bank-id: '-1' is outside 0..1023; hint: "),
        ("bankd --auto --csv x", "remsim bankd: --csv and --auto: only one"),
        ("client nope", "remsim client: Unknown command"),
        ("client script", "remsim client: Command"),
        ("client shell --client 1:5000", "remsim client: --client: client slot number 5000 is outside 0..1023; hint: "),
        # The first few of many commands are not shown as if they were all.
        ("ctl nope", 'remsim ctl: Unknown command "nope"; hint: see remsim ctl --help'),
        ("ctl mapings", 'remsim ctl: Unknown command "mapings". Did you mean "mappings"?; hint: see remsim ctl --help'),
        ("token nope", 'remsim token: Unknown command "nope". Available commands: create, list, revoke; hint: '),
        ("ctl map 1:0", "remsim ctl: Command"),
        ("ctl map 1:0 7:5000", "remsim ctl: client slot number 5000 is outside 0..1023"),
    ],
)
def test_wrong_command_line_is_one_line_and_status_2(
    calls: Calls, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    output = capsys.readouterr()
    assert output.err.startswith(said)
    assert output.err.count("\n") == 1
    assert not output.out
    assert not calls


@pytest.mark.parametrize("words", ["", "--help", "-h", "server --help", "bankd -h", "client", "client shell --help"])
def test_help_needs_no_service(calls: Calls, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 0
    assert "Usage: remsim" in capsys.readouterr().out
    assert not calls


def test_root_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    text = capsys.readouterr().out
    assert [command for command in COMMANDS if command not in text] == []


@pytest.mark.parametrize("words", ["--version", "server --version", "ctl --version"])
def test_version_is_told(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_words_come_from_the_process_by_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["remsim", "--version"])
    assert main() == 0
    assert capsys.readouterr().out


def test_bare_plaintext_gets_a_value_before_the_end_of_options_only() -> None:
    words = ["--plaintext", "--plaintext=::1", "--", "--plaintext"]
    assert expand_bare_plaintext(words) == ["--plaintext=true", "--plaintext=::1", "--", "--plaintext"]


def _raising(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (StartError("no pcscd", hint="start it"), 1, "remsim bankd: no pcscd; hint: start it\n"),
        (
            ModuleNotFoundError("x", name="smartcard.scard"),
            1,
            f"remsim bankd: smartcard.scard is not installed; hint: install it: {install_command('pyscard', 'sim')}\n",
        ),
    ],
)
def test_outcome_becomes_a_status(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded("bankd", _raising(error)) == status
    assert capsys.readouterr().err == said


def test_module_without_app_is_our_mistake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broken = ModuleType("remsim.cli.demo")
    broken.__dict__["app"] = None
    monkeypatch.setitem(sys.modules, "remsim.cli.demo", broken)
    assert main(["demo"]) == 1
    assert "remsim.cli.demo.app is no cyclopts.App" in capsys.readouterr().err


def test_module_of_our_own_that_is_missing_is_our_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded("bankd", _raising(ModuleNotFoundError("x", name="remsim.x"))) == 1
    assert "internal error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("doctor nosuch --json", 2, "nosuch"),
        ("client script --json", 2, "FILE"),
        ("server init --json --bogus", 2, "--bogus"),
        ("pki show --json --bogus", 2, "--bogus"),
        ("token list --json --state /nonexistent", 1, "there is no server's database at /nonexistent"),
        ("ctl --json policy check /nonexistent", 2, "/nonexistent cannot be read: No such file or directory"),
        ("ctl nosuch --json", 2, "nosuch"),
    ],
)
def test_errors_are_json_wherever_json_was_asked_for(
    words: str, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == status
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert set(error) == {"code", "message", "hint"}
    assert message in error["message"]
    assert said.err == ""
