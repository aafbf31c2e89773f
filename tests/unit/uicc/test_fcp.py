# SPDX-License-Identifier: Apache-2.0
"""FCP templates and GSM headers, byte by byte."""

import pytest

from remsim.readers.sim.profiles import load_profile
from remsim.uicc import UiccState
from remsim.uicc.fcp import df_fcp, ef_fcp, gsm_df_header, gsm_ef_header
from remsim.uicc.files import Df
from remsim.uicc.pins import Pins

_PROFILE = load_profile("default")
_FILES = _PROFILE.files


def _pins() -> Pins:
    return Pins(UiccState.fresh(_PROFILE), _PROFILE.pins)


def test_file_templates() -> None:
    imsi = _FILES.efs["3F00/USIM/6F07"]
    assert (
        ef_fcp(imsi, is_active=True).hex().upper() == "621B8202412183026F078A01058B036F060380020009810200098801" + "38"
    )
    assert "8A0104" in ef_fcp(imsi, is_active=False).hex().upper()


def test_directory_templates() -> None:
    usim = _FILES.apps[0]
    template = df_fcp(usim, _pins()).hex().upper()
    assert template.startswith("62")
    assert "83027FFF" in template
    assert "8410A0000000871002FFFFFFFF8906190000" in template
    assert template.endswith("C609900140830101830181")


def test_gsm_headers() -> None:
    acm = _FILES.efs["3F00/7F20/6F39"]
    assert gsm_ef_header(acm, is_active=True).hex() == "0000000f6f390440121f4401020303"
    assert gsm_ef_header(acm, is_active=False)[11] == 0
    assert gsm_df_header(_FILES.mf, _pins())[6] == 1


@pytest.mark.parametrize(
    ("proprietary", "voltages"),
    [
        ("800171", 0x30),
        ("830400008000" + "800141", 0x30),
        ("800131", 0x10),
        ("800111", 0x00),
        ("", 0x10),
        ("80", 0x10),
        ("80027171", 0x10),
    ],
)
def test_class_a0_names_the_voltages_of_the_fcp(proprietary: str, voltages: int) -> None:
    mf = Df("3F00", 0x3F00, "MF", None, proprietary=bytes.fromhex(proprietary))
    gsm = Df("3F00/7F20", 0x7F20, "DF.GSM", mf)
    for df in (mf, gsm):
        assert gsm_df_header(df, _pins())[13] & 0x70 == voltages


@pytest.mark.parametrize("profile", ["default", "phone", "iot-modem"])
def test_class_a0_and_fcp_of_a_profile_agree(profile: str) -> None:
    loaded = load_profile(profile)
    pins = Pins(UiccState.fresh(loaded), loaded.pins)
    assert b"\x80\x01\x71" in df_fcp(loaded.files.mf, pins)
    assert gsm_df_header(loaded.files.mf, pins)[13] & 0x70 == 0x30
