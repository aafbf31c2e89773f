# SPDX-License-Identifier: Apache-2.0
# What we use of PyGObject.

def require_version(namespace: str, version: str) -> None: ...
