"""Why a load cannot be put on a service, said so that something can be done about it."""


class CannotLoad(Exception):
    """The load did not begin, or has ended; the message says why, and what to do."""
