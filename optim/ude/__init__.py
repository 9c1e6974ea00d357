"""Learning missing dynamics from files: settings, data and model, training with checkpoints, report."""
