# SPDX-License-Identifier: Apache-2.0
"""The beginning of a profile file for tests that add what they are about: PINs, one rule, two directories."""

HEAD = """
name = "small"
atr = "3B00"
[pins]
PIN1 = { pin = "1234", puk = "12345678" }
PIN2 = { pin = "1234", puk = "12345678" }
ADM = { pin = "1234", puk = "12345678" }
[rules]
1 = { read = "ALW", update = "ALW" }
"""
DIRECTORIES = """
[directories]
"3F00" = {}
"3F00/7F10" = {}
"""
