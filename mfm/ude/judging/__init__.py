"""Judging says how good a hybrid is: on data that it has not seen, where nothing is missing, and from start to start."""
