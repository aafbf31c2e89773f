# SPDX-License-Identifier: Apache-2.0
"""What all readers of PC/SC have in common, however it is reached: ``pcsc`` through a library, ``pcscd`` by its socket.

No module here speaks to PC/SC: ``card`` says what is to be asked and judges the answers, ``states`` what readers did.
"""
