"""Residuals of a fitted model at its fixed point."""
