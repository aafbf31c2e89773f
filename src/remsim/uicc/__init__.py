# SPDX-License-Identifier: Apache-2.0
"""A UICC in software: file system, PINs, authentication, toolkit, behind one method that answers a TPDU.

Pure: no I/O, no clock. Readers, state files and the choice of a profile live in ``remsim.readers``.
"""

from remsim.uicc.card import Uicc
from remsim.uicc.errors import ProfileError, StateError
from remsim.uicc.identity import SubscriberIdentity
from remsim.uicc.profile.model import Profile
from remsim.uicc.profile.toml import parse_profile
from remsim.uicc.state import UiccState

__all__ = ["Profile", "ProfileError", "StateError", "SubscriberIdentity", "Uicc", "UiccState", "parse_profile"]
