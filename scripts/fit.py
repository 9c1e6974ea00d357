"""``python scripts/fit.py -m SETTING=A,B ...`` is ``mfmfit fit -m SETTING=A,B ...``, for those who are used to it."""

import sys

from optim.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["fit", *sys.argv[1:]]))
