# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor``: examines a host, shows what is wrong and how to fix it. Changes nothing."""
