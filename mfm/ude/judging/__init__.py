"""How good a hybrid is, on data that it has not seen."""
