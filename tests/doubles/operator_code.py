# SPDX-License-Identifier: Apache-2.0
"""The operator's variant of MILENAGE for one subscriber, which the test sets of 3GPP give along with its origin."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def opc_of(ki: bytes, op: bytes) -> bytes:
    """OPc = OP xor E[OP]_K (3GPP TS 35.206, clause 4.1)."""
    encrypted = Cipher(algorithms.AES(ki), modes.ECB()).encryptor().update(op)
    return bytes(a ^ b for a, b in zip(op, encrypted, strict=True))
