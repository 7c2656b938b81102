"""Makes an admin key: `cvadm_`, 256 random bits, a checksum.

    python -m deploy.admin_key [--no-prompt] [--file PATH] [--keep OLD_KEYS]

Printed once, for ADMIN_API_KEY. With --file it goes into a new file that only its
owner may read, and is not printed. To change keys without a gap: --keep reads the
current value of ADMIN_API_KEY from standard input, and what is printed holds the
new key and the newest of the old; deploy that, move your clients, then deploy the
new key alone.
"""

import argparse
import os
import sys
from pathlib import Path

from libs.settings import ADMIN_KEY_PREFIX, MOST_ADMIN_KEYS
from libs.vault.keys import base62_checksum, random_base62

FILE_EXISTS = 1
DECLINED = 3
QUESTION = "Make a new admin key and show it on this screen? [y/N] "


def admin_key() -> str:
    body = ADMIN_KEY_PREFIX + random_base62()
    return body + base62_checksum(body)


def main(argv: list[str] | None = None) -> int:
    chosen = _arguments(argv)
    kept = sys.stdin.read().strip().split(",") if chosen.keep else []
    if not (chosen.no_prompt or chosen.keep or chosen.file) and not _agreed():
        return DECLINED
    value = ",".join([admin_key(), *filter(None, kept)][:MOST_ADMIN_KEYS])
    if chosen.file is None:
        print(value)
        return 0
    try:
        handle = os.open(chosen.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{chosen.file} exists: move it away or choose another", file=sys.stderr)
        return FILE_EXISTS
    with os.fdopen(handle, "w") as file:
        file.write(value)
    return 0


def _agreed() -> bool:
    return input(QUESTION).strip().lower() in {"y", "yes"}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.admin_key")
    parser.add_argument("--no-prompt", action="store_true", help="do not ask before printing")
    parser.add_argument("--file", type=Path, help="write it here instead of printing it")
    parser.add_argument("--keep", action="store_true", help="keep one old key from standard input")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
