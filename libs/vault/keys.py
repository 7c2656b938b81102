"""Key texts: random digits of base 62, and a checksum that shows a slip of the pen."""

import secrets
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_BITS = 256
RANDOM_LENGTH = 43
CHECKSUM_LENGTH = 6


def random_base62() -> str:
    """256 random bits as 43 digits."""
    return _base62(secrets.randbits(RANDOM_BITS), RANDOM_LENGTH)


def base62_checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits.rjust(length, ALPHABET[0])
