# SPDX-License-Identifier: Apache-2.0
"""MILENAGE against the test sets of 3GPP (origin: milenage/README.md)."""

import json
from pathlib import Path

import pytest

from remsim.uicc.milenage import Milenage
from tests.doubles.operator_code import opc_of

_SETS: list[dict[str, str]] = json.loads((Path(__file__).parent / "milenage" / "sets.json").read_text("ascii"))


@pytest.mark.parametrize("case", _SETS, ids=[case["set"] for case in _SETS])
def test_all_functions_agree_with_the_test_set(case: dict[str, str]) -> None:
    inputs = {name: bytes.fromhex(case[name]) for name in ("k", "rand", "sqn", "amf", "op", "opc")}
    rand = inputs["rand"]
    milenage = Milenage(inputs["k"], inputs["opc"])
    mac_a, mac_s = milenage.f1_and_f1_star(rand, inputs["sqn"], inputs["amf"])
    res, ak = milenage.f2_and_f5(rand)
    found = {
        "opc": opc_of(inputs["k"], inputs["op"]),
        "f1": mac_a,
        "f1_star": mac_s,
        "f2": res,
        "f3": milenage.f3(rand),
        "f4": milenage.f4(rand),
        "f5": ak,
        "f5_star": milenage.f5_star(rand),
    }
    assert {name: value.hex() for name, value in found.items()} == {name: case[name] for name in found}


@pytest.mark.parametrize("case", [case for case in _SETS if "kc" in case], ids=lambda case: str(case["set"]))
def test_gsm_functions_agree_with_the_test_set(case: dict[str, str]) -> None:
    milenage = Milenage(bytes.fromhex(case["k"]), bytes.fromhex(case["opc"]))
    sres, kc = milenage.gsm(bytes.fromhex(case["rand"]))
    assert (sres.hex(), kc.hex()) == (case["sres"], case["kc"])


def test_all_twenty_test_sets_of_ts_35_208_are_there() -> None:
    assert {case["set"] for case in _SETS} >= {str(number) for number in range(1, 21)}
