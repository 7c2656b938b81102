"""The Python client: `Client` and `AsyncClient` take what the functions of `ask` make.

with Client("http://127.0.0.1:8080", key) as client:
    run = client(ask.start("ones"))
    print(client.wait(run.run_id).status)
"""

from convergence import ask
from convergence.client import AsyncClient, Client
from convergence.errors import ApiError, ConnectionFailedError, ConvergenceError

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ConnectionFailedError",
    "ConvergenceError",
    "ask",
]
