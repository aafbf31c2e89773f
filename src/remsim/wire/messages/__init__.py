# SPDX-License-Identifier: Apache-2.0
"""RSPRO messages and their encoding: values, the table that describes them, BER, and the codecs.

Start with ``rspro`` (the messages) and ``codec`` (``encode_pdu``, ``decode_pdu``). ``extensions`` has our own messages.
"""
