# SPDX-License-Identifier: Apache-2.0
"""The commands of the software UICC, one module for each family. ``remsim.uicc.table`` says which there are."""
