"""Searches for the parameters of the lowest cost."""
