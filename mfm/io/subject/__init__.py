"""A subject's data: every file read once, names joined, and the whole assembled."""
