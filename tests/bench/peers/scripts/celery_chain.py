"""Celery and Redis: a bare chain. `python celery_chain.py NAME ROUNDS` prints milliseconds."""

import os
import sys
import time

from celery import Celery, chain

from tests.bench.peers.scripts.work import HEAVY, HEAVY_STEPS, STEPS, fibonacci

app = Celery("celery_chain", broker=os.environ["REDIS"], backend=os.environ["REDIS"])


@app.task(name="nothing")
def nothing(_: object = None) -> int:
    return 0


@app.task(name="slow")
def slow(_: object = None) -> int:
    return fibonacci(HEAVY)


CHAINS = {"light": (nothing, STEPS), "heavy": (slow, HEAVY_STEPS)}

if __name__ == "__main__":
    step, count = CHAINS[sys.argv[1]]
    for _ in range(int(sys.argv[2])):
        started = time.perf_counter()
        chain(step.s(None), *(step.s() for _ in range(count - 1))).apply_async().get(timeout=120)
        print("took", (time.perf_counter() - started) * 1000, flush=True)
