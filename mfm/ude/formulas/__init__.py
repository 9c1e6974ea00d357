"""From what was learned to a formula."""
