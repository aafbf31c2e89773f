# SPDX-License-Identifier: Apache-2.0
"""TLS of links: contexts, the transport between TCP and a link, and whether the links of a program are protected."""
