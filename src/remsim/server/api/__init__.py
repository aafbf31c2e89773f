# SPDX-License-Identifier: Apache-2.0
"""REST: HTTP over sockets of our own.

Start with ``app``. ``auth`` judges who may call a route, and ``v1`` has the resources of the C suite's interface.
Nothing else is decided here: routes give commands to the runtime, and ask ``server.query``.
"""
