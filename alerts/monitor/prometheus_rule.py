"""The shipped rules as one PrometheusRule, which the Prometheus operator reads in Kubernetes.

Run as a program it writes `deploy/kubernetes/monitoring/prometheus-rule.yaml`; with `--check` it
writes nothing, and fails where the file is out of date. Groups keep their order and names, which
are each given once among all files, as the operator demands.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "alerts" / "rules"
WRITTEN = ROOT / "deploy" / "kubernetes" / "monitoring" / "prometheus-rule.yaml"
HEAD = """\
# The rules of alerts/rules. Written by `make rules`; edit those files instead.
"""


def prometheus_rule(shipped: Path) -> dict[str, Any]:
    """Return the resource with the groups of all rule files of a folder.

    Raises:
        ValueError: two groups have the same name.
    """
    groups: dict[str, dict[str, Any]] = {}
    for path in sorted(shipped.glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            if group["name"] in groups:
                raise ValueError(f"{path.name}: there is a group {group['name']} already")
            groups[group["name"]] = group
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tapewatch", "labels": {"app.kubernetes.io/name": "tapewatch"}},
        "spec": {"groups": list(groups.values())},
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, so that a change of a rule is seen."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def main(arguments: list[str] | None = None) -> int:
    """Write or check the file, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m alerts.monitor.prometheus_rule")
    parser.add_argument("--check", action="store_true", help="fail where the file is out of date")
    options = parser.parse_args(arguments)
    text = HEAD + yaml.dump(prometheus_rule(SHIPPED), Dumper=_Dumper, sort_keys=False, width=1_000)
    if not options.check:
        WRITTEN.write_text(text, encoding="utf-8")
    elif not WRITTEN.exists() or WRITTEN.read_text(encoding="utf-8") != text:
        print(f"{WRITTEN.relative_to(ROOT)} is out of date: run `make rules`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
