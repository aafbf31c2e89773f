# SPDX-License-Identifier: Apache-2.0
"""A terminal in front of a software card: sends hex, follows 61xx, 9Fxx and 6Cxx as a modem does."""

from typing import Final

from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc, UiccState

USIM_AID: Final = "A0000000871002"


class Terminal:
    """Holds one card and checks what it answers."""

    def __init__(self, uicc: Uicc) -> None:
        self.uicc = uicc
        uicc.cold_reset()

    @classmethod
    def of(cls, profile: str = "default") -> "Terminal":
        """With a fresh card of a shipped profile."""
        return cls(Uicc(load_profile(profile)))

    def raw(self, command: str) -> tuple[str, str]:
        """One TPDU: data and status word in capitals."""
        answer = self.uicc.transmit(bytes.fromhex(command)).hex().upper()
        return answer[:-4], answer[-4:]

    def sw(self, command: str) -> str:
        """The status word of one TPDU that must bring no data."""
        data, sw = self.raw(command)
        assert data == "", f"{command} brought {data}"
        return sw

    def ask(self, command: str) -> tuple[str, str]:
        """A command with everything that follows from its status word: data and last status word."""
        data, sw = self.raw(command)
        if sw.startswith("6C"):
            return self.ask(command[:8] + sw[2:] + command[10:])
        while sw.startswith(("61", "9F")):
            cla = "A0" if sw.startswith("9F") else command[:2]
            more, sw = self.raw(f"{cla}C00000{sw[2:]}")
            data += more
        return data, sw

    def ok(self, command: str) -> str:
        """The data of a command that must succeed."""
        data, sw = self.ask(command)
        assert sw == "9000" or sw.startswith("91"), f"{command} -> {sw}"
        return data

    def select(self, path: str) -> str:
        """SELECT by path from the MF: ``7FFF/6F07``; returns the FCP."""
        data = path.replace("/", "")
        return self.ok(f"00A40804{len(data) // 2:02X}{data}")

    def select_usim(self) -> str:
        """SELECT the USIM by a partial AID; returns the FCP."""
        return self.ok(f"00A40404{len(USIM_AID) // 2:02X}{USIM_AID}")

    def verify(self, reference: str, digits: str) -> str:
        """VERIFY PIN; the status word."""
        return self.sw(f"002000{reference}08{pin(digits)}")

    def stored_and_back(self) -> "Terminal":
        """Another card from this card's stored state."""
        state = UiccState.from_bytes(self.uicc.state.to_bytes(), self.uicc.profile)
        return Terminal(Uicc(self.uicc.profile, state, self.uicc.identity))


def pin(digits: str) -> str:
    """Eight bytes of a PIN in hex."""
    return digits.encode("ascii").hex().upper().ljust(16, "F")
