"""The bench of authentication makes requests by hand: it must notice when they need more."""

import pytest

from tests.bench import bench_auth


async def test_what_a_key_costs_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_auth, "KEYS", 20)
    monkeypatch.setattr(bench_auth, "CALLS", 4)
    figures = await bench_auth.measure()
    assert len(figures) == 12
    assert all(figure.value > 0 for figure in figures)
