# SPDX-License-Identifier: Apache-2.0
"""PINs: verification, retry counters, unblocking (ETSI TS 102 221, clauses 9.5 and 11.1.9 to 11.1.13).

Whether a PIN was verified is forgotten at reset, its counters never are.
"""

from hmac import compare_digest

from remsim.card.status import (
    SW_CONDITIONS_NOT_SATISFIED,
    SW_DATA_INVALIDATED,
    SW_DATA_NOT_FOUND,
    SW_METHOD_BLOCKED,
    SW_OK,
    SW_TRIES_LEFT,
)
from remsim.uicc.errors import RefusedError
from remsim.uicc.files import KEY_REFERENCES, Access
from remsim.uicc.profile.model import PinSpec
from remsim.uicc.state import PinState, UiccState


class Pins:
    """The PINs of one card."""

    def __init__(self, state: UiccState, specs: dict[int, PinSpec]) -> None:
        self._state = state
        self._specs = specs
        self._verified: set[int] = set()

    def reset(self) -> None:
        """The card was reset: nothing is verified."""
        self._verified.clear()

    def grants(self, access: Access) -> bool:
        """Whether ``access`` is open now; a disabled PIN opens what it guards (clause 9.5.1)."""
        if access is Access.ALWAYS:
            return True
        if access is Access.NEVER:
            return False
        reference = KEY_REFERENCES[access]
        return reference in self._verified or not self._state.pins[reference].is_enabled

    def state_of(self, reference: int) -> PinState:
        """The PIN with this key reference. Raises RefusedError if there is none."""
        pin = self._state.pins.get(reference)
        if pin is None:
            raise RefusedError(SW_DATA_NOT_FOUND)
        return pin

    def tries(self, reference: int) -> int:
        """63Cx with the tries left for the PIN."""
        return SW_TRIES_LEFT | self.state_of(reference).tries

    def puk_tries(self, reference: int) -> int:
        """63Cx with the tries left for unblocking."""
        return SW_TRIES_LEFT | self.state_of(reference).puk_tries

    def verify(self, reference: int, pin: bytes) -> int:
        """VERIFY PIN; returns the status word."""
        state = self.state_of(reference)
        if not state.is_enabled:
            return SW_DATA_INVALIDATED
        return self._check(reference, state, pin)

    def change(self, reference: int, old: bytes, new: bytes) -> int:
        """CHANGE PIN; returns the status word."""
        state = self.state_of(reference)
        if not state.is_enabled:
            return SW_DATA_INVALIDATED
        sw = self._check(reference, state, old)
        if sw == SW_OK:
            state.pin = new
            self._state.changed()
        return sw

    def set_enabled(self, reference: int, pin: bytes, *, is_enabled: bool) -> int:
        """ENABLE or DISABLE PIN; returns the status word."""
        state = self.state_of(reference)
        if state.is_enabled is is_enabled:
            return SW_CONDITIONS_NOT_SATISFIED if is_enabled else SW_DATA_INVALIDATED
        sw = self._check(reference, state, pin)
        if sw == SW_OK:
            state.is_enabled = is_enabled
            self._state.changed()
        return sw

    def unblock(self, reference: int, puk: bytes, new: bytes) -> int:
        """UNBLOCK PIN; returns the status word. Success enables the PIN and counts as its verification."""
        state = self.state_of(reference)
        if state.puk_tries == 0:
            return SW_METHOD_BLOCKED
        if not compare_digest(state.puk, puk):
            state.puk_tries -= 1
            self._state.changed()
            return SW_TRIES_LEFT | state.puk_tries
        spec = self._specs[reference]
        state.pin, state.tries, state.puk_tries, state.is_enabled = new, spec.tries, spec.puk_tries, True
        self._verified.add(reference)
        self._state.changed()
        return SW_OK

    def _check(self, reference: int, state: PinState, pin: bytes) -> int:
        if state.tries == 0:
            return SW_METHOD_BLOCKED
        if not compare_digest(state.pin, pin):
            self._verified.discard(reference)
            state.tries -= 1
            self._state.changed()
            return SW_TRIES_LEFT | state.tries
        self._verified.add(reference)
        full = self._specs[reference].tries
        if state.tries != full:
            state.tries = full
            self._state.changed()
        return SW_OK
