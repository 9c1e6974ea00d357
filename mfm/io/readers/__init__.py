"""What the content of a file means: connectomes, maps, names, time series and their timing."""
