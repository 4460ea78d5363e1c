"""`python -m replab …`."""

import sys

from replab.cli import main

if __name__ == "__main__":
    sys.exit(main())
