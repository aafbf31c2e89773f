# SPDX-License-Identifier: Apache-2.0
"""MILENAGE: f1, f1*, f2, f3, f4, f5, f5* (3GPP TS 35.206) and their GSM forms (3GPP TS 33.102, clause 6.8.1.2).

AES comes from the package ``cryptography`` (extra ``sim``), imported when the first key is set.
"""

from typing import Final, Protocol

# TS 35.206, clause 4.1: rotations in bits and constants of OUT1..OUT5.
_ROTATIONS: Final = (64, 0, 32, 64, 96)
_CONSTANTS: Final = (0, 1, 2, 4, 8)
_MASK: Final = (1 << 128) - 1


class _BlockCipher(Protocol):
    def update(self, data: bytes, /) -> bytes: ...


def _aes(key: bytes) -> _BlockCipher:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    # In ECB mode every block stands alone, so that one encryptor serves for all.
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(len(a))


class Milenage:
    """The functions under one subscriber key. All arguments and results are bytes of the specified lengths."""

    def __init__(self, ki: bytes, opc: bytes) -> None:
        self._encrypt = _aes(ki).update
        self._opc = int.from_bytes(opc)

    def _temp(self, rand: bytes) -> int:
        return int.from_bytes(self._encrypt((int.from_bytes(rand) ^ self._opc).to_bytes(16)))

    def _out(self, index: int, block: int, added: int) -> bytes:
        rotation = _ROTATIONS[index]
        rotated = ((block << rotation) | (block >> (128 - rotation))) & _MASK
        argument = rotated ^ _CONSTANTS[index] ^ added
        return (int.from_bytes(self._encrypt(argument.to_bytes(16))) ^ self._opc).to_bytes(16)

    def f1_and_f1_star(self, rand: bytes, sqn: bytes, amf: bytes) -> tuple[bytes, bytes]:
        """MAC-A and MAC-S, eight bytes each."""
        in1 = int.from_bytes((sqn + amf) * 2) ^ self._opc
        out = self._out(0, in1, self._temp(rand))
        return out[:8], out[8:]

    def f2_and_f5(self, rand: bytes) -> tuple[bytes, bytes]:
        """RES (eight bytes) and AK (six bytes)."""
        out = self._out(1, self._temp(rand) ^ self._opc, 0)
        return out[8:], out[:6]

    def f3(self, rand: bytes) -> bytes:
        """CK."""
        return self._out(2, self._temp(rand) ^ self._opc, 0)

    def f4(self, rand: bytes) -> bytes:
        """IK."""
        return self._out(3, self._temp(rand) ^ self._opc, 0)

    def f5_star(self, rand: bytes) -> bytes:
        """AK for resynchronisation."""
        return self._out(4, self._temp(rand) ^ self._opc, 0)[:6]

    def gsm(self, rand: bytes) -> tuple[bytes, bytes]:
        """SRES and Kc: conversion functions c2 and c3."""
        res, _ = self.f2_and_f5(rand)
        return _xor(res[:4], res[4:]), kc_of(self.f3(rand), self.f4(rand))


def kc_of(ck: bytes, ik: bytes) -> bytes:
    """c3: Kc of CK and IK."""
    return _xor(_xor(ck[:8], ck[8:]), _xor(ik[:8], ik[8:]))
