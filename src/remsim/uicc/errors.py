# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a profile, a stored state, or a command.

::

    ProfileError        (a ConfigError) the profile file cannot be used
    StateError          a stored card state is damaged or belongs to another profile
    RefusedError        a command ends with a status word other than success; never leaves ``Uicc.transmit``
"""

from remsim.core.errors import ConfigError, RemsimError


class ProfileError(ConfigError):
    """A profile that describes no possible card; the message names the entry."""


class StateError(RemsimError):
    """A stored card state that cannot be used with this profile."""


class RefusedError(RemsimError):
    """Ends the handling of a command with the status word ``sw``."""

    def __init__(self, sw: int) -> None:
        super().__init__(f"{sw:04X}")
        self.sw = sw
