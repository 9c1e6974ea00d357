"""optim: finds the parameters at which the model shows what a person's scan shows."""
