"""One fit as a Hydra application, for sweeps: ``python scripts/fit.py -m optimizer.seed=1,2,3 data.sc=...``.

In a sweep every job writes into its own folder, ``<output.folder>/job-<number>/``; the same command resumes them all.
"""

from pathlib import Path

import hydra

from optim.cli.fit import fit_from_files
from optim.cli.sweep import run_job
from optim.config.fit import FitConfig


@hydra.main(config_path=str(Path(__file__).resolve().parents[1] / "conf"), config_name="fit", version_base="1.3")
def main(values) -> None:
    run_job(values, FitConfig, fit_from_files)


if __name__ == "__main__":
    main()
