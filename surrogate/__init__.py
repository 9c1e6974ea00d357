"""surrogate: predicts from parameters what a simulation would show."""
