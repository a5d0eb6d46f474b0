"""Metrics, tracing, logging and health: machinery that knows nothing of the service."""
