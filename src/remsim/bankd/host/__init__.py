# SPDX-License-Identifier: Apache-2.0
"""What the host of a bank is like: pcscd and its readers. The bankd and ``remsim doctor`` judge alike."""
