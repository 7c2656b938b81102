"""Others at the same work, on the same machine, in the same run.

    make peers [PARTS="conversion loading"]

Each peer has an environment of its own in .venv/peers: their needs contradict one another.
Only those of the chosen parts are made. The longest bills take their time, and so are converted
only where `PARTS=flat` says so.
"""

import argparse
import tempfile
from pathlib import Path

from tests.bench.peers import conversion, cron, flat, gateway, loading, orchestration, packed

PARTS = {
    "orchestration": orchestration.measured,
    "conversion": conversion.measured,
    "loading": loading.measured,
    "packed": packed.measured,
    "flat": flat.measured,
    "gateway": gateway.measured,
    "cron": cron.measured,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers")
    parser.add_argument("parts", nargs="+", metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args().parts
    if unknown := sorted(set(chosen) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            found = PARTS[name](Path(folder))
        found.keep()
        for figure in found.figures:
            print(figure, flush=True)


if __name__ == "__main__":
    main()
