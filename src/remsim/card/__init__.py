# SPDX-License-Identifier: Apache-2.0
"""What passes between modem and card, as values and tables: ATR, PPS, TPDU, APDU, status words.

No card: that is ``remsim.uicc``, or in a reader.
"""
