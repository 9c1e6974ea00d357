"""One file per format: what a file of that kind holds, and how it is read and written."""
