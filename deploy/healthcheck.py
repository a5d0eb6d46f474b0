"""Tell a container runtime whether the service's process answers: exit code 0 or 1."""

import os
import sys
import urllib.request

TIMEOUT_S = 3.0


def main() -> int:
    port = os.environ.get("TAPEWATCH_OPS_PORT") or "9464"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=TIMEOUT_S) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
