"""PostgreSQL, the truth and the log, and Redis, the shared read side."""
