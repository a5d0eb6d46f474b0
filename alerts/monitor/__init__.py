"""Real Prometheus and Alertmanager on this machine, without Docker: for people and for tests."""
