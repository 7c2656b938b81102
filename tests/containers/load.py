"""A steady load of runs from several clients, and what they were answered."""

import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Self

from tests.pipelines import ONE_STEP
from tests.stack import Stack

PAUSE_SECONDS = 0.8
ACCEPTED = 202


@dataclass(slots=True)
class Load:
    """Submits runs until it is left; each until it is accepted, under a key of its own."""

    stack: Stack
    tenants: Sequence[str]
    clients: int = 2
    submitted: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Answers of 500 and more while the gateway was up."""
    statuses: Counter[int] = field(default_factory=Counter)
    _gateway_down: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=count)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._work) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def gateway_down(self) -> Iterator[None]:
        """While it is down nothing can be promised of what it answers."""
        self._gateway_down.set()
        try:
            yield
        finally:
            self._gateway_down.clear()

    def more(self, wanted: int, within: float = 180.0) -> None:
        """Wait until so many more runs have been accepted."""
        goal, end = len(self.submitted) + wanted, time.monotonic() + within
        while len(self.submitted) < goal:
            assert time.monotonic() < end, f"{len(self.submitted)} of {goal} runs were accepted"
            time.sleep(0.05)

    def _work(self) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            self._submit(self.tenants[number % len(self.tenants)], f"load-{number}")
            self._stop.wait(PAUSE_SECONDS)

    def _submit(self, tenant: str, key: str) -> None:
        end = time.monotonic() + 90
        while time.monotonic() < end:
            down = self._gateway_down.is_set()
            try:
                answer = self.stack.call(
                    "POST",
                    "/api/v1/pipelines/run/ones",
                    {},
                    tenant=tenant,
                    headers={"Idempotency-Key": key},
                )
            except (OSError, urllib.error.URLError) as error:
                if not down and not self._gateway_down.is_set():
                    self.failures.append(f"{key}: {error}")
            else:
                self.statuses[answer.status] += 1
                if answer.status == ACCEPTED:
                    self.submitted.append((tenant, answer.body["run_id"]))
                    return
                if not down and not self._gateway_down.is_set():
                    self.failures.append(f"{key}: {answer.status} {answer.body}")
            time.sleep(PAUSE_SECONDS)
        self.failures.append(f"{key}: never accepted")


def prepare(stack: Stack, prefix: str, tenants: int = 3) -> list[str]:
    names = [f"{prefix}_{number:02}" for number in range(tenants)]
    for name in names:
        stack.onboard(name)
        answer = stack.call("PUT", "/api/v1/pipelines/configs/ones", text=ONE_STEP, tenant=name)
        assert answer.status == 200, answer.body
    return names
