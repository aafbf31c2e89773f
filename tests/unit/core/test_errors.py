# SPDX-License-Identifier: Apache-2.0
"""The root of the exception tree: one line, a hint, an exit status."""

import pytest

from remsim.core.errors import ConfigError, IdRangeError, RemsimError, StartError


@pytest.mark.parametrize(
    ("kind", "exit_status"), [(RemsimError, 1), (StartError, 1), (ConfigError, 2), (IdRangeError, 2)]
)
def test_error_has_a_text_a_hint_and_an_exit_status(kind: type[RemsimError], exit_status: int) -> None:
    error = kind("port 9998 is in use", hint="choose another port")
    assert (str(error), error.hint, error.exit_status) == ("port 9998 is in use", "choose another port", exit_status)
    assert kind("x").hint == ""


def test_number_out_of_range_is_a_value_error_too() -> None:
    # Validators of settings expect that.
    assert issubclass(IdRangeError, ValueError)
