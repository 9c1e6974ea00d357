"""Linear response: the statistics of BOLD around a fixed point, without integrating the model.

For weak noise the deviations of S_E and S_I from the fixed point follow a linear stochastic equation, and BOLD follows S_E
through a linear filter. S_I enters only its own region, so that it is eliminated exactly at every frequency: what remains is
one complex N x N system per frequency instead of a time loop.

    (D(w) - g C) S_E(w) = n(w),    D diagonal,  g = (1 - S_E*) gamma phi_E'(I_E*) G J

`system` linearises, `exact` solves this system frequency by frequency, `modes` solves it once for all frequencies,
`sampling` draws BOLD from its spectra, and `second_order` tells how far the noise shifts the firing rates.
"""

from mfm.linear.response import LinearResponse, LinearStatus, linear_response

__all__ = ["LinearResponse", "LinearStatus", "linear_response"]
