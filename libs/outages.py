"""What every library raises when something outside is away, and the bus waits for."""


class OutageError(Exception):
    """What is needed gives no answer now. Nothing is wrong with what was asked."""
