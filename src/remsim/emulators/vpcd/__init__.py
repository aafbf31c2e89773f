# SPDX-License-Identifier: Apache-2.0
"""The client as a card in a virtual PC/SC reader. ``emulator`` is the way in; ``slot`` decides, without I/O."""
