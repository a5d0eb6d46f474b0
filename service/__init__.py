"""Tapewatch: the trading back end of a retail FX/CFD broker."""
