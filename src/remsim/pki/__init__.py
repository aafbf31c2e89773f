# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates: the authority that issues them, and what a host keeps of its own.

``cryptography`` is imported here and nowhere else in this package's company, and only when something is signed: a host
that merely speaks TLS, or enrols through the ``openssl`` program, does without it.
"""
