"""``python scripts/ude.py -m SETTING=A,B ...`` is ``mfmfit ude -m SETTING=A,B ...``, for those who are used to it."""

import sys

from optim.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["ude", *sys.argv[1:]]))
