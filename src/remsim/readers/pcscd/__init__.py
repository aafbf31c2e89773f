# SPDX-License-Identifier: Apache-2.0
"""Cards in PC/SC readers of Linux, reached by pcscd's own socket protocol from the event loop.

No thread and no compiled library. ``protocol`` and ``client`` are the messages, without I/O; ``channel`` is one socket;
``card`` uses one card, ``watcher`` sees cards and readers come and go, ``source`` is what others use.
"""

from remsim.readers.pcscd.channel import PcscdUnwillingError
from remsim.readers.pcscd.source import PcscdDaemon, PcscdSource, default_socket, name_daemons, protocol_of

__all__ = ["PcscdDaemon", "PcscdSource", "PcscdUnwillingError", "default_socket", "name_daemons", "protocol_of"]
