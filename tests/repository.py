"""Where the repository is, for tests of what stands in it: they do not depend on the folder that they are in themselves."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
SCRIPTS = ROOT / "scripts"
