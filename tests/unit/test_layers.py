"""Imports run downwards only, and the domain stays pure.

Read from the source by `ast`, so that imports inside functions and under TYPE_CHECKING count too.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("service", "telemetry", "dashboards", "alerts")

# `service.instruments` names what the service measures; it sits on telemetry, below the shell.
SHARED = ("service.domain", "telemetry", "service.instruments")
LAYERS: dict[str, tuple[str, ...]] = {
    "service.domain": ("service.domain",),
    "telemetry": ("telemetry",),
    "service.instruments": SHARED,
    "service.settings": ("service.settings", *SHARED),
    "service.storage": ("service.storage", *SHARED),
    "service.scenario": ("service.scenario", "service.domain"),
    "service.feed": ("service.feed", "service.scenario", *SHARED),
    "service.loops": (
        "service.loops",
        "service.storage",
        "service.feed",
        "service.scenario",
        *SHARED,
    ),
    "service.api": ("service.api", "service.loops", "service.storage", "service.feed", *SHARED),
    "service": ("service", "telemetry"),
    "dashboards": (
        "dashboards",
        "telemetry.catalogue",
        "telemetry.metrics_page",
        "telemetry.thresholds",
    ),
    "alerts": ("alerts", "telemetry.catalogue", "dashboards.pictures"),
}

# Modules that do input or output, wait, log, take chances or read a clock.
IMPURE = frozenset(
    {
        "asyncio",
        "concurrent",
        "ctypes",
        "fcntl",
        "glob",
        "http",
        "io",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "queue",
        "random",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
    }
)
CLOCK_CALLS = frozenset({"now", "utcnow", "today"})
ENVIRONMENT = frozenset({"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"})


class Import(NamedTuple):
    line: int
    name: str


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, path: Path) -> Iterator[Import]:
    """Yield every module a file imports; `from a import b` counts as `a.b`."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package[: len(package) - node.level + 1]
                base = ".".join((*above, base)) if base else ".".join(above)
            for alias in node.names:
                yield Import(node.lineno, f"{base}.{alias.name}")


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layer_of(module: str) -> str:
    return max((layer for layer in LAYERS if within(module, layer)), key=len)


def faults(path: Path, source: str) -> list[str]:
    """Return what a file does against the layers, one line per fault."""
    tree = ast.parse(source, str(path))
    module = module_name(path)
    layer = layer_of(module)
    found: list[str] = []

    def fault(line: int, what: str) -> None:
        found.append(f"{path.relative_to(ROOT)}:{line}: {layer} {what}")

    for line, name in imports(tree, path):
        top = name.partition(".")[0]
        if top in {*PACKAGES, "tests"}:
            if not any(within(name, allowed) for allowed in LAYERS[layer]):
                fault(line, f"may not import {name}")
        elif layer == "service.domain" and (
            top in IMPURE or (top not in sys.stdlib_module_names and top != "numpy")
        ):
            fault(line, f"is pure and may not import {name}")

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of_os = isinstance(node.value, ast.Name) and node.value.id == "os"
            if of_os and node.attr in ENVIRONMENT and module != "service.settings":
                fault(node.lineno, f"may not read os.{node.attr}: only service/settings.py does")
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            if module != "service.settings" and any(a.name in ENVIRONMENT for a in node.names):
                fault(node.lineno, "may not read the environment: only service/settings.py does")
        elif isinstance(node, ast.Call) and layer == "service.domain":
            call = node.func
            if isinstance(call, ast.Attribute) and call.attr in CLOCK_CALLS:
                fault(node.lineno, f"may not read a clock ({call.attr}())")
            elif isinstance(call, ast.Name) and call.id in {"open", "print", "input"}:
                fault(node.lineno, f"does no input or output ({call.id}())")
    return found


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_run_downwards_only(path: Path) -> None:
    assert faults(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("service/domain/x.py", "import asyncio"),
        ("service/domain/x.py", "import aiohttp"),
        ("service/domain/x.py", "from datetime import datetime\nat = datetime.now()"),
        ("service/domain/x.py", "from service.storage import pool"),
        ("service/domain/x.py", "from ..storage import pool"),
        ("telemetry/x.py", "from service.domain import quotes"),
        ("service/storage/x.py", "from service import feed"),
        ("service/storage/x.py", "def late():\n    import service.loops.sweep"),
        ("service/feed/x.py", "from service.settings import Settings"),
        ("service/scenario/x.py", "from service.storage import views"),
        ("service/scenario/x.py", "import service.feed"),
        ("service/loops/x.py", "from service.api import errors"),
        ("service/api/x.py", "import service.app"),
        ("service/app.py", "import os\nhome = os.environ['HOME']"),
        ("service/cli.py", "from os import getenv"),
        ("service/cli.py", "import tests.support"),
        ("dashboards/x.py", "from telemetry import tracing"),
        ("alerts/x.py", "import service.domain"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(faults(ROOT / module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("service/domain/x.py", "import heapq\nimport numpy\nfrom service.domain import quotes"),
        ("service/storage/x.py", "import os\nos.kill(1, 0)\nfrom service.domain import orders"),
        ("service/loops/x.py", "from service.storage import writer\nfrom service.feed import q"),
        ("service/feed/x.py", "from service.scenario import tape\nimport telemetry.metrics"),
        ("service/settings.py", "import os\nhome = os.environ['HOME']"),
        ("service/app.py", "from service.api import routes\nimport telemetry.tracing"),
        (
            "dashboards/x.py",
            "from telemetry.catalogue import METRICS\nfrom telemetry import catalogue",
        ),
    ],
)
def test_a_downward_import_passes(module: str, source: str) -> None:
    assert faults(ROOT / module, source) == []
