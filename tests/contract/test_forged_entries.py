# SPDX-License-Identifier: Apache-2.0
"""Texts of others in the audit log and the log: none makes a second line, a field, or moves a cursor."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.cli.ctl.tables import audit_line, bank_slot_text
from remsim.config import ServerConfig
from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot
from remsim.logs import get_logger, setup_logging
from remsim.server.core.actions import Actor, Entry
from remsim.server.core.tokens import TokenRole
from remsim.server.store import audit
from remsim.server.store.tokens import create_token
from remsim.wire.messages.extensions import AuditInd
from tests.doubles.server_rig import V1, rest_client, running_server
from tests.doubles.server_world import ServerWorld
from tests.doubles.short_http import ask
from tests.doubles.tls_rig import note_log

HOSTILE = (
    "\x1b[2J\x1b]0;x\x07\r\n2026-01-01T00:00:00Z  admin from local  mapping.create B1:0 C7:0: done\x9b\u2028\u202e"
)


@given(st.text(), st.text(), st.text())
def test_what_is_stored_is_printable_whatever_was_said(who: str, target: str, detail: str) -> None:
    values = audit._values(Entry(Actor(who, "192.0.2.1"), "bankd.x", target, detail=detail), 0.0)
    for name in ("who", "source", "action", "target", "detail"):
        assert str(values[name]).isprintable()


@given(st.text(), st.text())
def test_line_of_the_audit_log_is_one_line(target: str, detail: str) -> None:
    line = audit_line({"at": "t", "who": HOSTILE, "source": "s", "action": "a", "target": target, "detail": detail})
    assert line.isprintable()
    assert bank_slot_text({"bank": {"bankId": HOSTILE, "slotNr": target}}).isprintable()


async def test_path_with_control_characters_is_one_entry_and_one_line(tmp_path: Path) -> None:
    log = note_log()
    async with running_server(tmp_path, rest_open=False) as service:
        text, _ = await asyncio.to_thread(
            create_token, ServerConfig(state_dir=tmp_path), name="auditor", role=TokenRole.ADMIN
        )
        target = "/x%0A%1B%5B2J%0D%E2%80%A8%C2%9B" + "end"
        wrong = {"Authorization": "Bearer remsim_0123456789ab_" + "a" * 52}
        assert (await ask(service.rest_address, "GET", target, wrong))[0] == 401
        async with rest_client(service, over_socket=False, token=text) as rest:
            answer = await rest.get(f"{V1}/audit")
    (refused,) = [entry for entry in answer.json()["audit"] if entry["outcome"] == "refused"]
    assert refused["target"] == "GET /x\\n\\x1b[2J\\r\\u2028\\x9bend"
    (line,) = [line for line in log.getvalue().splitlines() if "token_refused" in line]
    assert line.isprintable()


def test_certified_bank_enters_nothing_but_what_is_its_own() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True, proof=Proof(Identity.bank(1), 1))
    for action in ("command.block", "mapping.create", "x.y", "X", "token.create", HOSTILE, ""):
        for slot in (None, BankSlot(1, 0), BankSlot(1, 1000), BankSlot(2, 0)):
            world.receive(link, AuditInd(action, is_refused=True, bank_slot=slot, detail=HOSTILE))
    actions = {"command.block", "bankd.mapping.create", "bankd.x.y", "bankd.token.create"}
    assert {entry.action for entry in world.entries} == actions
    assert {entry.actor.who for entry in world.entries} == {"bank/1"}
    assert {entry.target for entry in world.entries} == {"B1", "B1:0"}
    assert all(entry.detail.isprintable() for entry in world.entries)


def test_line_of_the_log_about_a_forged_entry_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for log_format in ("text", "json"):
        setup_logging(level="info", log_format=log_format)
        get_logger("server").info("bankd_audit", action="bankd.x", target=HOSTILE, detail=HOSTILE)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.isprintable()
        if log_format == "json":
            assert json.loads(line)["detail"] == HOSTILE
