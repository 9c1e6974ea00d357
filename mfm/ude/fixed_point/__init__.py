"""Residuals of a fitted FIC model at its fixed point, which is all that second-order statistics can see."""
