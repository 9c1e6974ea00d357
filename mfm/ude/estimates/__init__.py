"""Estimates of coefficients with standard errors, in closed form or by Gauss-Newton, and what data can tell of them."""
