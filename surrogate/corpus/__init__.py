"""The training corpus holds parameter sets on many connectomes, and what simulation shows of them."""
