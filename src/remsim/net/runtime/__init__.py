# SPDX-License-Identifier: Apache-2.0
"""A program as a process: signals, readiness, tasks, timers, reload, certificates that are renewed meanwhile."""
