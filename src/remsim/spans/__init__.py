# SPDX-License-Identifier: Apache-2.0
"""Commands as spans of OpenTelemetry: which ones, what they are called, what they say, and how they are sent."""
