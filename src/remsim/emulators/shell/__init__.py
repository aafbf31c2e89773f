# SPDX-License-Identifier: Apache-2.0
"""A person or a program that types commands in the modem's place.

``console`` is the shell on a terminal, ``plain`` the one at the end of a pipe.
"""
