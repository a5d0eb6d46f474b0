"""A load on a running service: ticks, traders and listeners, and how it bears them."""
