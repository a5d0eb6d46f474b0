"""Become a child that dies with its parent, then exec.

Run as a script (`python -I -S exec_child.py PARENT_PID SIGNAL DIRECTORY PROGRAM ARG...`), never
imported: the same steps between fork and exec of a process with threads could deadlock.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent_pid: int, death_signal: int, directory: str, argv: list[str]) -> None:
    os.chdir(directory)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        sys.exit("the parent is gone")
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
