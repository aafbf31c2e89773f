# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates: the authority that issues them, and what a host keeps of its own.

In this package only ``signing`` imports ``cryptography``, and only when something is signed: a host that merely speaks
TLS, or enrols through the ``openssl`` program, does without it.
"""
