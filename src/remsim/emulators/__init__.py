# SPDX-License-Identifier: Apache-2.0
"""What plays the card to a modem or a program. Start with ``base`` and ``registry``."""
