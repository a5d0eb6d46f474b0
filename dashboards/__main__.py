"""`python -m dashboards` writes the generated files; with `--check` it only compares them."""

import sys

from dashboards.files import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
