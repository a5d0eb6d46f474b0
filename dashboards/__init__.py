"""Grafana dashboards, made from the catalogue of metrics.

`python -m dashboards` writes `dashboards/generated/UID.json`, one file per dashboard; with
`--check` it only tells whether they are up to date. Nobody edits the files: the modules here are
the source.

Every panel says in its description what it shows and what to do when it is bad. A panel that is
empty while all is well has a `noValue` text that says so; any other panel without data is a fault.
"""
