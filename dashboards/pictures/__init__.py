"""Pictures of the dashboards without Grafana: the same layout and queries, drawn by us as SVG.

`python -m dashboards.pictures UID` asks a Prometheus and writes one picture. It is no Grafana: no
zoom, no hover, no links, and each kind of panel is drawn in one way only.
"""
