"""How stable the state of feedback inhibition is: settling, returning, and escaping from it."""
