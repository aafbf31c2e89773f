# SPDX-License-Identifier: Apache-2.0
"""All decisions of a client slot, without I/O.

``coordinator`` is the way in: events in, actions out, time as an argument.
"""
