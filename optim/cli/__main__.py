"""``python -m optim.cli`` is ``mfmfit``."""

import sys

from optim.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
