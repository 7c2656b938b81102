"""Runs a module that ends with its parent: when standard input closes, it is asked to stop.

python -m deploy.local.kept services.tenant
"""

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    del sys.argv[0]  # the module sees its own arguments, as if it had been started alone
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
