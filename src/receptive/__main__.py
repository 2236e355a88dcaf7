"""`python -m receptive` is `receptive`."""

import sys

from receptive.cli import main

if __name__ == "__main__":
    sys.exit(main())
