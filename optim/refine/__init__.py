"""Refinement asks what a fitted model still misses: a residual at its fixed point, learned from a scan, judged on another."""
