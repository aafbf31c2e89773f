# SPDX-License-Identifier: Apache-2.0
"""Traces and diagnostics bundles of a card with secrets of its own: nothing secret or personal is in them."""

import asyncio
import io
import json
import re
import socket
import tarfile
from importlib import resources
from pathlib import Path

import httpx2

from remsim.cli.main import main
from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import ScriptPlayer
from remsim.emulators.script.recording import RecordedCommand, RecordedReset, Step
from remsim.rest import AsyncRest, calls
from remsim.rest.traces import TraceModel
from tests.doubles.secrets_hunt import FILE_KEYS, ICCID, IMSI, NEW_PIN, PIN, PUK, RAND, Hunt, challenge, write_profile
from tests.doubles.suite import Suite

_PATIENCE_S = 60.0
VERIFY = bytes.fromhex("0020000108") + PIN
COMMANDS = [
    *(VERIFY, bytes.fromhex("0024000110") + PIN + NEW_PIN, bytes.fromhex("0024000110") + NEW_PIN + PIN),
    *(bytes.fromhex("002c000110") + PUK + PIN, bytes.fromhex("00a4040407a0000000871002"), challenge(1 << 5)),
    *(bytes.fromhex("00c0000035"), bytes.fromhex("00b0870009"), bytes.fromhex("00a40000026f08")),
    *(bytes.fromhex("00d6000011") + FILE_KEYS, bytes.fromhex("00b0000011"), bytes.fromhex("00a40804022fe2")),
    *(bytes.fromhex("00b000000a"), bytes.fromhex("00b082000a"), bytes.fromhex("00a40804047f106f40")),
    *(bytes.fromhex("00b201041c"), bytes.fromhex("a0a40000027f20"), bytes.fromhex("a088000010") + RAND),
    *(VERIFY[:-1], VERIFY + b"\xff", b"\xff" + VERIFY, PIN, PIN + PUK, bytes.fromhex("80ca00000f") + IMSI.encode()),
    *(bytes.fromhex("80140000088103012300") + PIN[:3], bytes.fromhex("80c200000ad108") + PIN),
]
LABEL = "bobs-own-phone"
REASON = "bob has dropped it"


def modem(emulator: DrivenEmulator) -> ScriptPlayer:
    """Sends all of it."""
    steps: list[Step] = [RecordedReset(1), *(RecordedCommand(at, tpdu) for at, tpdu in enumerate(COMMANDS, start=2))]
    return ScriptPlayer(emulator, steps, repeat=1, card_wait_s=_PATIENCE_S)


def unpacked(raw: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
        files = {name.partition("/")[2]: archive.extractfile(name) for name in archive.getnames()}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


async def test_nothing_secret_or_personal_is_in_traces_and_bundles(tmp_path: Path) -> None:
    shipped = Path(str(resources.files("remsim.uicc") / "profiles" / "default.toml"))
    emulator = DrivenEmulator()
    suite = Suite(tmp_path, [emulator], profile=str(write_profile(tmp_path, shipped)), resume="always")
    records: list[TraceModel] = []
    async with suite, asyncio.timeout(_PATIENCE_S):
        url = f"http://{suite.server.rest_address}"
        async with AsyncRest(url) as rest, httpx2.AsyncClient(base_url=url, timeout=_PATIENCE_S) as plain:
            await rest.do(calls.put_labels("B1:0", [LABEL]))
            async with plain.stream("GET", "/api/v2/traces/C7:0?format=pcapng") as answer, asyncio.TaskGroup() as group:
                raw = bytearray()
                pieces = answer.aiter_bytes()
                raw += await anext(pieces)
                group.create_task(modem(emulator).run())
                async for item in rest.trace("B1:0"):
                    if isinstance(item, TraceModel):
                        records.append(item)
                        if sum(one.kind == "command" for one in records) >= len(COMMANDS) - 3:
                            break
                while raw.count(b"\x02\x04\x04\x00") < len(COMMANDS) - 3:
                    raw += await anext(pieces)
            await rest.do(calls.lock_slot("B1:0", REASON))
            bundles = [unpacked(await rest.bundle(slot)) for slot in ("B1:0", "C7:0")]
            target = tmp_path / "one.tar.gz"
            words = ["ctl", "--rest", url, "bundle", "B1:0", "--to", str(target)]
            assert await asyncio.to_thread(main, words) == 0
            bundles.append(unpacked(target.read_bytes()))
    assert target.stat().st_mode & 0o777 == 0o600
    hunt = Hunt(further={})
    written = {"trace": "\n".join(one.model_dump_json() for one in records), "capture": raw.hex()}
    for number, files in enumerate(bundles):
        written |= {f"{name} {number}": text for name, text in files.items()}
    found = [str(each) for where, text in written.items() for each in hunt.find(where, text)]
    assert not found
    for number, files in enumerate(bundles):
        assert set(files) == {
            *("README.txt", "about.json", "slots.json", "warnings.json", "events.jsonl", "trace.jsonl"),
            *("counters.json", "settings.json"),
        }
        whole = "\n".join(files.values())
        # Not even what a trace shows of them: numbers in part, names, labels.
        assert ICCID[:6] not in whole
        assert ICCID[-4:] not in re.sub(r"[0-9]+\.[0-9]+", "", whole)
        assert LABEL not in whole
        assert REASON not in whole
        assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", whole), number
        assert str(tmp_path) not in whole
        lines = [json.loads(line) for line in files["trace.jsonl"].splitlines()]
        assert sum("header" in line for line in lines) >= len(COMMANDS) - 4
        assert any(line.get("words") == "VERIFY PIN 01" for line in lines)
        assert json.loads(files["events.jsonl"].splitlines()[-1])["kind"]
        assert json.loads(files["slots.json"])
        assert any(each["name"] == "remsim_server_mappings" for each in json.loads(files["counters.json"]))
        assert json.loads(files["settings.json"])["rest_open"] is True
