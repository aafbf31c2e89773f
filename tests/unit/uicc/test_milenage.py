# SPDX-License-Identifier: Apache-2.0
"""MILENAGE beyond the test sets, which are in tests/vectors."""

from remsim.uicc.milenage import Milenage, kc_of
from tests.doubles.operator_code import opc_of


def test_conversion_to_kc_is_the_sum_of_both_halves() -> None:
    assert kc_of(bytes(range(16)), bytes(16)) == bytes(a ^ (a + 8) for a in range(8))


def test_one_object_serves_many_challenges() -> None:
    milenage = Milenage(bytes(16), opc_of(bytes(16), bytes(16)))
    first = milenage.f2_and_f5(bytes(16))
    assert milenage.f2_and_f5(b"\x01" * 16) != first
    assert milenage.f2_and_f5(bytes(16)) == first
