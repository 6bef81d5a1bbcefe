"""``python -m liveness`` is the command ``liveness``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "python -m liveness"))
