# SPDX-License-Identifier: Apache-2.0
"""All decisions of the server, without I/O.

``coordinator`` is the entry point: events in, actions out, time as an argument. It hands each event to the part that
knows: ``admission``, ``reconciler``, ``client_config``, ``inventory``, ``peer_reports``. What is desired is in
``slotmap``, who is connected in ``peers``.
"""
