"""Whether the service in this container lives: exit code 0 or 1.

python -I libs/web/healthcheck.py [/readyz]
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

SECONDS = 4.0
OK = 200


def healthy(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    asked = sys.argv[1] if len(sys.argv) > 1 else "/healthz"
    port = os.environ.get("PORT") or os.environ.get("API_PORT") or "8080"
    sys.exit(0 if healthy(int(port), asked) else 1)
