# SPDX-License-Identifier: Apache-2.0
"""The server: desired mappings in a database, peers over RSPRO, operators over REST."""
