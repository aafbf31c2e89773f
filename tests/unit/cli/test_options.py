# SPDX-License-Identifier: Apache-2.0
"""From shared options to a configuration."""

import pytest

from remsim import __version__
from remsim.cli.options import CommonOptions, DaemonOptions, command_app, resolve
from remsim.config import ClientConfig, CtlConfig, HostPort
from remsim.core.errors import ConfigError


def test_options_of_all_kinds_reach_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMSIM_NAME", "environment")
    config = resolve(ClientConfig, DaemonOptions(log_level="debug", metrics=":1"), server="h:2", atr=None)
    assert (config.log_level, config.metrics, config.server) == ("debug", HostPort("", 1), HostPort("h", 2))
    assert config.name == "environment"


def test_missing_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMSIM_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="cannot read /nonexistent/x: No such file"):
        resolve(CtlConfig, CommonOptions(config="/nonexistent/x"))


def test_command_knows_the_version() -> None:
    assert command_app("x", "text").version == __version__
