"""Quote sources and the guards in front of the engine."""
