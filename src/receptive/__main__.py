"""`python -m receptive` is `receptive`."""

from __future__ import annotations

import sys

from receptive.cli import main

if __name__ == "__main__":
    sys.exit(main())
