"""How many connections this process may have open: the system's limit of open files says so."""

import resource

from loguru import logger

# Of the databases, two for each shard and pools beside them, the log, the ops port (100), and
# connections that are told to go (100).
OTHER_FILES = 512


def room_for(connections: int) -> int:
    """Raise this process's limit as far as `connections` need; return how many of them fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        if raised < wanted:
            fit = max(raised - OTHER_FILES, 1)
            logger.warning(
                "this user may have {} files open: at most {} connections are served, not {}; "
                "raise the limit (ulimit -n, LimitNOFILE) or lower TAPEWATCH_MAX_CONNECTIONS",
                hard,
                fit,
                connections,
            )
            return fit
    return connections
