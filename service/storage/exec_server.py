"""Become an embedded server: enter its directory, drop root, die with the parent, then exec.

Run as a script (`python -I -S exec_server.py PARENT_PID UID GID SIGNAL DIRECTORY PROGRAM ARG...`)
and never imported by the service. It exists because the same steps between fork and exec of a
process with threads could deadlock, and because a change of user clears the parent-death signal,
so that the signal must be asked for last. UID -1 keeps the user.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent_pid: int, uid: int, gid: int, death_signal: int, argv: list[str]) -> None:
    directory, program, *arguments = argv
    # Entered while still privileged: the directory may lie below one that the user cannot search.
    os.chdir(directory)
    if uid != -1:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        sys.exit("the parent is gone")
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    parent_pid, uid, gid, death_signal = map(int, sys.argv[1:5])
    main(parent_pid, uid, gid, death_signal, sys.argv[5:])
