"""Key texts: random digits of base 62, and a checksum that shows a slip of the pen."""

import secrets
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_BYTES = 32
RANDOM_LENGTH = 43
CHECKSUM_LENGTH = 6


def random_base62() -> str:
    """256 random bits as 43 digits."""
    return base62(secrets.token_bytes(RANDOM_BYTES))


def base62(bits: bytes) -> str:
    """256 bits as 43 digits."""
    return _base62(int.from_bytes(bits, "big"), RANDOM_LENGTH)


def base62_checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits.rjust(length, ALPHABET[0])
