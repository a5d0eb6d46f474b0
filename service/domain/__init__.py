"""Pure trading rules: no I/O, no clock, no random numbers, no logging, no metrics."""
