"""Estimates in closed form or by Gauss-Newton, with standard errors, and what the data can tell."""
