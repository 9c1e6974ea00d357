"""The series to learn from, and what is checked before work starts."""
