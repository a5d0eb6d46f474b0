"""Supervised loops that drive the domain."""
