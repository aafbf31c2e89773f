# SPDX-License-Identifier: Apache-2.0
"""SIGHUP on real processes: files are read again, with or without certificates, and no program ends."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from remsim.cli.main import main
from remsim.core.identity import Identity
from remsim.pki.credentials import Credentials
from tests.doubles.bank_world import BankWorld
from tests.doubles.certificates import BANK, CLIENT, CertificateWorld
from tests.doubles.programs import Program, remsim

PORTS = ["--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0"]
NOBODY = "127.0.0.1:1"
SELECT_MF = "00a40004023f00"
Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """``start("server", …)``: a program that has started; all end with the test."""
    with ExitStack() as stack:

        def run(*words: str) -> Program:
            program = stack.enter_context(Program(remsim(*words)))
            program.wait_for(r"\sstarted ")
            return program

        yield run


def hang_up(program: Program, *lines: str) -> None:
    """Send SIGHUP and await these lines, and the one that says that it is done."""
    mark = program.mark()
    program.send_signal(signal.SIGHUP)
    for line in (*lines, r"\sreloaded$"):
        program.wait_for(line, after=mark)


class TestServer:
    def test_rules_are_read_again_without_certificates(self, tmp_path: Path, start: Start) -> None:
        rules = tmp_path / "policy.toml"
        rules.write_text('default = "allow"\n')
        server = start("server", "--plaintext", *PORTS, "--state", str(tmp_path / "s"), "--policy", str(rules))
        rules.write_text('default = "deny"\n')
        hang_up(server, "policy_reloaded rules=0 by_default=deny")
        rules.write_text('default = "perhaps"\n')
        hang_up(server, "error .*policy_not_reloaded .*policy.toml.* hint=")
        rules.write_text('default = "allow"\n')
        hang_up(server, "policy_reloaded rules=0 by_default=allow")
        assert server.stop() == 0

    def test_server_with_nothing_to_read_goes_on(self, tmp_path: Path, start: Start) -> None:
        server = start("server", "--plaintext", *PORTS, "--state", str(tmp_path / "s"))
        for _ in range(3):
            hang_up(server)
        assert server.stop() == 0

    def test_certificate_is_read_again(self, tmp_path: Path, start: Start) -> None:
        state = str(tmp_path / "s")
        assert main(["server", "init", "--state", state, "--name", "lab"]) == 0
        server = start("server", *PORTS, "--state", state)
        hang_up(server, "certificate_loaded identity=server/lab")
        pair = Credentials(tmp_path / "s" / "tls").pair_file
        pair.chmod(0o644)
        hang_up(server, f"error .*certificate_not_reloaded .*hint=.*chmod 600 {pair}")
        pair.chmod(0o600)
        hang_up(server, "certificate_loaded identity=server/lab")
        assert server.stop() == 0


class TestBankd:
    def test_guard_is_read_again_without_a_certificate(self, tmp_path: Path, start: Start) -> None:
        rules = tmp_path / "guard.toml"
        rules.write_text('[presets]\npin-change = "block"\n')
        options = ["--server", NOBODY, "--listen", "127.0.0.1:0", "--reader", "sim", "--state", str(tmp_path / "b")]
        bankd = start("bankd", "--plaintext", *options, "--guard", str(rules))
        hang_up(bankd, r"guard_reloaded rules=\d+ sessions=0")
        rules.write_text('[presets]\npin-change = "perhaps"\n')
        hang_up(bankd, "error .*guard_not_reloaded .*pin-change 'perhaps' is not one of")
        assert bankd.stop() == 0

    def test_certificate_is_read_again(self, tmp_path: Path, start: Start) -> None:
        own = CertificateWorld(tmp_path / "lab").credentials(BANK)
        options = ["--server", NOBODY, "--listen", "127.0.0.1:0", "--reader", "sim", "--state", str(tmp_path / "b")]
        bankd = start("bankd", *options, "--tls", str(own.directory))
        hang_up(bankd, "certificate_loaded identity=bank/1")
        assert bankd.stop() == 0

    def test_settings_of_answers_ahead_are_read_again(self, tmp_path: Path, start: Start) -> None:
        file = tmp_path / "bankd.toml"
        file.write_text('ahead = "on"\nslots = 4\n[overrides.3]\nahead = "off"\n')
        options = ["--server", NOBODY, "--listen", "127.0.0.1:0", "--reader", "sim", "--state", str(tmp_path / "b")]
        bankd = start("bankd", "--plaintext", *options, "--config", str(file))
        file.write_text('ahead = "off"\nslots = 4\n')
        hang_up(bankd, r"ahead_reloaded slots=0")
        file.write_text("ahead = 4\n")
        hang_up(bankd, r"error .*settings_not_reloaded .*bankd.toml: ahead: 4 is not one of")
        file.write_text('ahead = "off"\nslots = 4\n[overrides.1]\nahead = "on"\n')
        hang_up(bankd, r"ahead_reloaded slots=1")
        file.write_text("slots = 4\n")
        hang_up(bankd, r"ahead_reloaded slots=4")
        assert bankd.stop() == 0

    async def test_session_that_runs_comes_under_the_new_rules(self, tmp_path: Path) -> None:
        rules = tmp_path / "guard.toml"
        rules.write_text('[presets]\npin-change = "off"\nfile-update = "off"\nglobalplatform = "off"\n')
        world = BankWorld(tmp_path)
        world.settings["guard"] = rules
        async with world:
            client = await world.serve()
            assert (await client.transmit(SELECT_MF)).startswith("61")
            rules.write_text('[[rule]]\nname = "no MF"\naction = "block"\nins = "A4"\n')
            world.service.on_hangup()
            await world.until(lambda: "guard_reloaded" in world.log.getvalue())
            assert await client.transmit(SELECT_MF) == "6985"
            rules.write_text("")
            world.service.on_hangup()
            await world.until(lambda: world.log.getvalue().count("guard_reloaded") == 2)
            assert (await client.transmit(SELECT_MF)).startswith("61")


class TestClient:
    def options(self, *words: str) -> list[str]:
        """A slot in a virtual reader that is not there."""
        return ["client", "vpcd", "--server", NOBODY, "--client", "23:0", "--vpcd", NOBODY, *words]

    def test_client_with_nothing_to_read_goes_on(self, start: Start) -> None:
        client = start(*self.options("--plaintext"))
        for _ in range(3):
            hang_up(client)
        assert client.stop() == 0

    def test_certificate_is_read_again(self, tmp_path: Path, start: Start) -> None:
        own = CertificateWorld(tmp_path / "lab").credentials(CLIENT)
        client = start(*self.options("--tls", str(own.directory)))
        hang_up(client, "certificate_loaded identity=client/23")
        assert client.stop() == 0

    def test_settings_of_answers_ahead_are_read_again(self, tmp_path: Path, start: Start) -> None:
        file = tmp_path / "slots.toml"
        slot = f'[[slot]]\nclient = "23:{{}}"\nemulator = "vpcd"\nsettings = {{{{ vpcd = "{NOBODY}{{}}" }}}}\n'
        one, other = slot.format(0, ""), slot.format(1, "1")
        file.write_text('ahead = "off"\n' + one + other)
        client = start("client", "run", "--plaintext", "--server", NOBODY, "--config", str(file))
        file.write_text('ahead = "off"\n' + one + other + 'ahead = "on"\n')
        hang_up(client, "ahead_reloaded slots=1")
        file.write_text('ahead = "on"\n' + one + 'ahead = "off"\n' + other)
        hang_up(client)
        file.write_text(one)
        hang_up(client, "error .*settings_not_reloaded .*the slots are not those that run.*hint=.restart")
        assert client.stop() == 0

    def test_what_stands_at_a_terminal_ends_with_it(self, tmp_path: Path) -> None:
        own = CertificateWorld(tmp_path / "lab").credentials(Identity.client(23))
        shell = ["client", "shell", "--server", NOBODY, "--client", "23:0", "--tls", str(own.directory)]
        with Program(remsim(*shell)) as program:
            program.wait_for("link_failed")
            program.send_signal(signal.SIGHUP)
            assert program.wait() == 130
