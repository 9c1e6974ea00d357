"""One fit of missing dynamics as a Hydra application, for sweeps: ``python scripts/ude.py -m loss.gain=0.1,0.3 ...``.

In a sweep every job writes into its own folder, ``<output.folder>/job-<number>/``; the same command resumes them all.
"""

from pathlib import Path

import hydra

from optim.cli import run_ude
from optim.sweep import run_job
from optim.ude.config import UDEConfig


@hydra.main(config_path=str(Path(__file__).resolve().parents[1] / "conf/ude"), config_name="fit", version_base="1.3")
def main(values) -> None:
    run_job(values, UDEConfig, run_ude)


if __name__ == "__main__":
    main()
