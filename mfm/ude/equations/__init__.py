"""What is known and what is learned: mechanisms, residuals, their union, and how it is integrated."""
