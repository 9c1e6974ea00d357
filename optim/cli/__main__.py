"""``python -m optim.cli`` is ``mfmfit``."""

import sys

from optim.cli.start import start

if __name__ == "__main__":
    sys.exit(start())
