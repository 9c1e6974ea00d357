"""Simulation: parameters, connectome and timing in, BOLD and averages out, on the backend that suits."""
