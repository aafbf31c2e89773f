# SPDX-License-Identifier: Apache-2.0
"""Engines of a program's links: who it says it is, and the timers of links that it dials and accepts."""

import socket
from pathlib import Path

import pytest

from remsim import __version__
from remsim.config import BankdConfig, ClientConfig, KeepAliveSettings, ServerConfig
from remsim.config.models import DaemonConfig, Timers
from remsim.net.engines import EngineFactory, own_identity
from remsim.wire import ccm
from remsim.wire.link.engine import LinkEngine, LinkFailed
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType

CONFIG = ServerConfig(
    state_dir=Path("state"),
    keepalive=KeepAliveSettings(interval_s=20.0, timeout_s=5.0),
    timers=Timers(connect_s=3.0, identify_s=4.0),
)
IDENTITY = ComponentIdentity(ComponentType.REMSIM_SERVER, "lab", "remsim-server", __version__)
FACTORY = EngineFactory.of(CONFIG, IDENTITY)


def failure(engine: LinkEngine, now: float) -> str:
    """Why the link fails at ``now``; empty: it does not."""
    engine.receive_data(ccm.PONG, now)
    engine.handle_timer(now)
    event = engine.next_event()
    return event.reason if isinstance(event, LinkFailed) else ""


@pytest.mark.parametrize(
    ("config", "role", "software"),
    [
        (CONFIG, ComponentType.REMSIM_SERVER, "remsim-server"),
        (BankdConfig(state_dir=Path("state")), ComponentType.REMSIM_BANKD, "remsim-bankd"),
        (ClientConfig(), ComponentType.REMSIM_CLIENT, "remsim-client"),
    ],
)
def test_program_is_named_by_its_settings_or_its_host(
    config: DaemonConfig, role: ComponentType, software: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "höst" + "x" * 60)
    assert own_identity(config, role) == ComponentIdentity(role, "h?st" + "x" * 28, software, __version__)
    named = config.model_copy(update={"name": "lab"})
    assert own_identity(named, role) == ComponentIdentity(role, "lab", software, __version__)


def test_dialled_link_has_the_time_to_connect_and_pings_at_once() -> None:
    engine = FACTORY.dialling(ComponentType.REMSIM_BANKD)(0.0)
    assert (engine.peer, engine.identity) == (ComponentType.REMSIM_BANKD, IDENTITY)
    assert engine.data_to_send() == ccm.PING
    assert failure(engine, 2.9) == ""
    assert failure(engine, 3.0) == "no connect message within 3 s"


def test_accepted_link_has_the_time_to_identify() -> None:
    engine = FACTORY.accepting()(0.0)
    assert engine.peer is None
    assert engine.data_to_send() == ccm.PING
    assert failure(engine, 3.9) == ""
    assert failure(engine, 4.0) == "no connect message within 4 s"


def test_first_ping_may_wait_for_an_interval() -> None:
    engine = FACTORY.accepting(ComponentType.REMSIM_CLIENT, pings_at_once=False)(0.0)
    engine.connected()
    assert engine.data_to_send() == b""
    assert engine.next_deadline() == 20.0
    engine.handle_timer(20.0)
    assert engine.data_to_send() == ccm.PING
    assert engine.next_deadline() == 25.0


def test_each_link_counts_its_own_tags() -> None:
    make = FACTORY.dialling(ComponentType.REMSIM_SERVER)
    assert [make(0.0).send(rspro.ConnectBankReq(IDENTITY, 1, 8), now=0.0) for _ in range(2)] == [1, 1]
