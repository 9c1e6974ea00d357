"""Formulas are drawn from what was learned, or straight from data, and fitted to the data again."""
