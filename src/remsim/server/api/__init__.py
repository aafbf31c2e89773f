# SPDX-License-Identifier: Apache-2.0
"""REST: HTTP over sockets of our own.

``app`` is the entry point. ``auth`` guards every route, and ``v1`` has the resources of the C suite's interface.
Nothing here decides: routes give commands to the runtime, and ask ``server.query``.
"""
