"""The training corpus: parameter sets on many connectomes, and what simulation shows of them."""
