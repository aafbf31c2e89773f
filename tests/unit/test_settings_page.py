# SPDX-License-Identifier: Apache-2.0
"""docs/settings.md leaves no setting out. That it is up to date is held with the other generated pages."""

import re

import pytest

from remsim.config import (
    BankdConfig,
    ClientConfig,
    ClientRunConfig,
    ClientVpcdConfig,
    CommonConfig,
    CtlConfig,
    ServerConfig,
    UiccConfig,
)
from remsim.config.load import scalar_keys, variable_name
from tools.settings_page import settings_page


@pytest.mark.parametrize(
    "model", [ServerConfig, BankdConfig, ClientConfig, ClientVpcdConfig, ClientRunConfig, CtlConfig, UiccConfig]
)
def test_every_setting_that_text_can_set_is_on_the_page(model: type[CommonConfig]) -> None:
    page = settings_page()
    missing = [key for key in scalar_keys(model) if f"`{variable_name(key)}`" not in page]
    assert not missing


def test_every_row_says_what_the_setting_means() -> None:
    rows = [line for line in settings_page().splitlines() if line.startswith("| ")]
    assert not [row for row in rows if re.search(r"\|\s*\|", row)]
