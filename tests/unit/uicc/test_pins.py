# SPDX-License-Identifier: Apache-2.0
"""What a PIN opens."""

import pytest

from remsim.readers.sim.profiles import load_profile
from remsim.uicc import UiccState
from remsim.uicc.errors import RefusedError
from remsim.uicc.files import Access
from remsim.uicc.pins import Pins

_PROFILE = load_profile("default")


def _pins() -> Pins:
    return Pins(UiccState.fresh(_PROFILE), _PROFILE.pins)


def test_access_follows_from_pins() -> None:
    pins = _pins()
    assert [access for access in Access if pins.grants(access)] == [Access.ALWAYS, Access.PIN1]
    assert pins.verify(0x81, b"5678\xff\xff\xff\xff") == 0x9000
    assert pins.grants(Access.PIN2)
    pins.reset()
    assert not pins.grants(Access.PIN2)


def test_unknown_reference_is_refused() -> None:
    with pytest.raises(RefusedError, match="6A88"):
        _pins().state_of(0x02)


def test_right_pin_without_earlier_fault_is_nothing_to_store() -> None:
    state = UiccState.fresh(_PROFILE)
    Pins(state, _PROFILE.pins).verify(0x81, b"5678\xff\xff\xff\xff")
    assert state.revision == 0
