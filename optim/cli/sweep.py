"""One job of a Hydra application: in a sweep it writes into its own folder, and its failure leaves the others alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from mfm.errors import MfmfitError
from optim.cli.messages import as_settings, setting_paths
from optim.cli.settings import from_values


def run_job(values, kind: type, run: Callable) -> None:
    """Call `run` with Hydra's values as an instance of `kind`, a dataclass with ``output.folder``."""
    is_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        config = from_values(values, kind)
        if is_sweep:
            config = replace(config, output=replace(config.output, folder=HydraConfig.get().runtime.output_dir))
        run(config)
    except MfmfitError as error:
        print(f"error: {as_settings(str(error), partial(setting_paths, kind))}", file=sys.stderr)
        if not is_sweep:
            sys.exit(error.exit_code)
