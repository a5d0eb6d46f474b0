"""Alert rules and runbooks generated from the metric catalogue."""
