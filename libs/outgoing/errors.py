"""What goes wrong with a call to the world outside. No message quotes more than a host.

OutgoingError
├── AddressRefusedError   the URL may not be called; trying again cannot help
├── TooLargeError         the answer is larger than allowed
└── UnreachableError      no answer, or not in time; trying again may help
"""


class OutgoingError(Exception):
    """Base of what an outgoing call raises."""

    def __init__(self, host: str, reason: str) -> None:
        self.host = host
        super().__init__(f"{host or 'the URL'}: {reason}")


class AddressRefusedError(OutgoingError):
    pass


class TooLargeError(OutgoingError):
    def __init__(self, host: str, limit: int) -> None:
        super().__init__(host, f"the answer is larger than {limit} bytes")


class UnreachableError(OutgoingError):
    pass
