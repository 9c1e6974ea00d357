"""Where ``mfmfit`` starts. This module imports nothing of ours before it knows that the package is ours.

A person's own ``optim.py`` on Python's path would be imported in place of the package of that name.
"""

import os
import sys
from importlib.machinery import PathFinder


def main():
    """Run the command line; returns its exit code."""
    spec = PathFinder.find_spec("optim")
    found = None if spec is None else spec.origin
    # An editable install has this file and the package in different places.
    if found is None or not os.path.isfile(os.path.join(os.path.dirname(found), "cli", "start.py")):
        print(
            "error: The package optim of mfmfit cannot be imported.\n"
            "  expected: the folder optim of mfmfit, with cli/start.py in it\n"
            f"  found: {found or 'a folder without __init__.py, or nothing'}\n"
            "  likely cause: a file of yours is called as the package, and lies on Python's path\n"
            "  fix: rename it, or start mfmfit in another folder and with another PYTHONPATH",
            file=sys.stderr,
        )
        return 70
    from optim.cli.start import start

    return start()


if __name__ == "__main__":
    sys.exit(main())
