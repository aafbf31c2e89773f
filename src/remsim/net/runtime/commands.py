# SPDX-License-Identifier: Apache-2.0
"""Asks another program of this host, such as ``timedatectl``, and takes what it prints."""

import asyncio


async def output_of(*command: str, deadline_s: float) -> bytes | None:
    """Run a program and return its standard output; None if it cannot be run or has not ended in time.

    It reads nothing and its errors are dropped; its exit status does not count. When the time is up, it is killed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(deadline_s):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return said
