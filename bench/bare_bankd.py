# SPDX-License-Identifier: Apache-2.0
"""``remsim`` without the recorded starts that are shipped: ``python -m bench.bare_bankd bankd …``."""

import sys

from remsim.bankd import ahead_slots
from remsim.cli import main


def main_without_recordings() -> int:
    """Return the exit status of ``remsim``."""
    # No setting does this: nobody but a measurement wants a bank that knows less.
    vars(ahead_slots)["shipped_recordings"] = list
    return main.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main_without_recordings())
