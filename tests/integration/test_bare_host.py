# SPDX-License-Identifier: Apache-2.0
"""A bank's host without a compiler: the package is installed from wheels only, and serves a card of a real pcscd."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.doubles.bare_venv import install_bare
from tests.doubles.pcscd import VPCD_PORTS, PcscdNamespace
from tests.doubles.programs import remsim
from tests.reference import reference

#: Says where the package was found, and whether pyscard can be.
_LOOK = "import importlib.util, remsim; print(remsim.__file__, importlib.util.find_spec('smartcard'))"


def test_bank_is_installed_without_a_compiler_and_serves_a_card(
    pcscd_namespace: PcscdNamespace, tmp_path: Path
) -> None:
    programs = install_bare(tmp_path, "pcsc")
    place = f"127.0.0.1:{VPCD_PORTS[0]}"
    pcscd_namespace.program(remsim("uicc", "--vpcd", place, "--profile", "iot-modem")).wait_for("card_inserted")
    bare = ["env", "-i", f"PATH={programs}", f"HOME={tmp_path}"]
    found = pcscd_namespace.run([*bare, "python", "-c", _LOOK]).stdout
    assert found.startswith(str(tmp_path / "bare"))
    assert found.endswith(" None\n")

    server = ["--plaintext", "--state", str(tmp_path / "server")]
    pcscd_namespace.program(remsim("server", *server, "--rest-open")).wait_for(r"\sstarted( |$)")
    slots = ["--auto", "--slots", "2", "--bank-id", "1", "--state", str(tmp_path / "bank")]
    bank = pcscd_namespace.program([*bare, "remsim", "bankd", "--plaintext", *slots])
    bank.wait_for("readers_found readers=2 slots_with_reader=2")
    bank.wait_for("server_connected")
    mapped = pcscd_namespace.run(remsim("ctl", "map", "B1:0", "C4:0"))
    assert mapped.returncode == 0, mapped.stderr
    script = tmp_path / "boot.jsonl"
    shutil.copy(reference("traces", "iot-modem-boot.jsonl"), script)
    words = ["client", "script", "--plaintext", "--client", "4:0", "--check", str(script)]
    played = pcscd_namespace.run([*bare, "remsim", *words], timeout_s=60)
    assert played.returncode == 0, played.stdout + played.stderr
    assert "All status words and lengths as recorded." in played.stdout
    assert bank.stop() == 0, bank.describe()


def test_extra_that_needs_a_compiler_cannot_be_installed_so(tmp_path: Path) -> None:
    """The other test proves something: what has no wheel is refused."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        install_bare(tmp_path, "pyscard")
    assert "No matching distribution found for pyscard" in caught.value.stderr
