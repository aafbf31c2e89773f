# SPDX-License-Identifier: Apache-2.0
"""Links over sockets.

Start with ``connections``; ``link`` is one TCP connection around its engine.
"""
