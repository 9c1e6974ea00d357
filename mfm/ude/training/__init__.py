"""Training by gradient: losses, data that correct the state meanwhile, and stages."""
