# SPDX-License-Identifier: Apache-2.0
"""Cards in PC/SC readers, exchanged at T=0 TPDU level through pyscard's lowest layer.

``scard`` names what is used of PC/SC, ``codes`` turns its return codes into errors, ``card`` does the blocking calls,
``call_thread`` runs them away from the event loop, ``watcher`` sees cards and readers come and go, ``source`` is what
others use.
"""

from remsim.readers.pcsc.source import PcscReader, PcscSource

__all__ = ["PcscReader", "PcscSource"]
