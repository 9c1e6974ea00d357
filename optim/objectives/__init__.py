"""What scores candidates: simulation, linear response, surrogates."""
