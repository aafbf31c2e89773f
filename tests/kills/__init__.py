# SPDX-License-Identifier: Apache-2.0
"""Programs that are ended by SIGKILL at random times under load, and what may be lost by it."""
