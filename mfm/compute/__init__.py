"""What kernels are written in: vectors, elementary functions, compilation, and the machine they run on."""
