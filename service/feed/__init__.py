"""Where quotes come from: simulated, replayed, or an upstream WebSocket."""
