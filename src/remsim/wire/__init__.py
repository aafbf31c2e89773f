# SPDX-License-Identifier: Apache-2.0
"""RSPRO as bytes, without I/O.

``ipa`` has the frames, ``ccm`` the keep-alive, ``messages`` RSPRO itself, ``link`` the protocol of one link. Start with
``link.engine``.
"""
