"""Missing dynamics are learned from files: settings, data and model, training with checkpoints, report."""
