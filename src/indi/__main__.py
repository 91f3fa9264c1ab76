"""``python -m indi`` is the command line."""

import sys

from indi.cli import main

sys.exit(main())
