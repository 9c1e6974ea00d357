"""The equations of a hybrid: a known mechanism, the residuals that are learned, and how their sum is integrated."""
