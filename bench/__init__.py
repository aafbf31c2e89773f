# SPDX-License-Identifier: Apache-2.0
"""Measurements: ``python -m bench`` lists them. Results are ratios to a bare baseline of the same run."""
