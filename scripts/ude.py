"""One fit of missing dynamics as a Hydra application, for sweeps: ``python scripts/ude.py -m loss.gain=0.1,0.3 ...``.

In a sweep every job writes into its own folder, ``<output.folder>/job-<number>/``; the same command resumes them all.
"""

import sys
from dataclasses import replace
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from mfm.errors import MfmfitError
from optim.cli import run_ude
from optim.configuration import from_values
from optim.ude.config import UDEConfig


@hydra.main(config_path=str(Path(__file__).resolve().parents[1] / "conf/ude"), config_name="fit", version_base="1.3")
def main(values) -> None:
    try:
        config = from_values(values, UDEConfig)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            config = replace(config, output=replace(config.output, folder=HydraConfig.get().runtime.output_dir))
        run_ude(config)
    except MfmfitError as error:
        print(f"error: {error}", file=sys.stderr)
        # In a sweep the other jobs go on.
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
