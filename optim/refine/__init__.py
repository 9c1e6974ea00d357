"""What a fitted model still misses: residuals at its fixed point, learned from a scan and judged on another."""
