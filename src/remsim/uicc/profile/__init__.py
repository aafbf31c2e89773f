# SPDX-License-Identifier: Apache-2.0
"""What a software UICC is made of: the model of a profile, and the TOML files that describe one."""
