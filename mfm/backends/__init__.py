"""Simulation backends: `reference` (torch, readable, differentiable) and `compiled` (numba, explicit SIMD)."""
