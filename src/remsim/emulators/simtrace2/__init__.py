# SPDX-License-Identifier: Apache-2.0
"""Card emulation on SIMtrace2 hardware.

``emulator`` is the way in; ``card`` is the state machine of one slot without USB.
"""
