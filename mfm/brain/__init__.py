"""The brain that a model runs on: connectome, atlas and regional maps."""
