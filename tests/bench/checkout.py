"""Of which commit a benchmark is: a figure without it cannot be repeated."""

import subprocess
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]


class Checkout(msgspec.Struct, frozen=True):
    """A commit, and whether files differed from it, or were added; None: not from git."""

    commit: str | None
    is_changed: bool

    def __str__(self) -> str:
        if self.commit is None:
            return "no commit"
        return f"{self.commit[:10]}{', changed since' if self.is_changed else ''}"


def describe_checkout(root: Path = ROOT) -> Checkout:
    """Return the commit that is checked out in a folder; ignored files do not count."""
    commit = _git(root, "rev-parse", "HEAD")
    return Checkout(commit or None, bool(commit and _git(root, "status", "--porcelain")))


def _git(root: Path, *arguments: str) -> str:
    """Return what git says, nothing if it is not there or knows no such folder."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
