"""Training by gradient: losses, observers that correct the state meanwhile, segments, and stages."""
