# SPDX-License-Identifier: Apache-2.0
"""Records of what passes between modem and card, for people and for other programs."""
