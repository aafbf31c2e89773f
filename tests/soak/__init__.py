# SPDX-License-Identifier: Apache-2.0
"""Very many commands with cut links between, and whether memory, descriptors and tasks stay as they were."""
