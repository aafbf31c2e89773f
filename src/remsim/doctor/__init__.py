# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor``: looks at a host, says what is wrong, and how to mend it. Changes nothing."""
