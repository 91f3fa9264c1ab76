"""``python -m indi`` is the command line."""

import sys

from indi.cli import main

if __name__ == "__main__":  # not in the processes that the page reads files in
    sys.exit(main())
