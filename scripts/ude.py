"""One fit of missing dynamics as a Hydra application, for sweeps: ``python scripts/ude.py -m loss.gain=0.1,0.3 ...``.

In a sweep every job writes into its own folder, ``<output.folder>/job-<number>/``; the same command resumes them all.
"""

from pathlib import Path

import hydra

from optim.cli.sweep import run_job
from optim.cli.ude import learn_from_files
from optim.config.ude import UDEConfig


@hydra.main(config_path=str(Path(__file__).resolve().parents[1] / "conf/ude"), config_name="fit", version_base="1.3")
def main(values) -> None:
    run_job(values, UDEConfig, learn_from_files)


if __name__ == "__main__":
    main()
