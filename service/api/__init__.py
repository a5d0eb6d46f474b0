"""REST, WebSocket, authentication and the errors clients see."""
