"""Trajectories to learn from, and how they are cut into training, validation and test."""
