import pytest

from tests.mutations.gate import ROOT, apply
from tests.mutations.sabotages import SABOTAGES, Sabotage


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda one: one.name.replace(" ", "-"))
def test_a_sabotage_still_fits_the_code(sabotage: Sabotage) -> None:
    assert apply(sabotage, (ROOT / sabotage.path).read_text())
    for path in sabotage.tests.split():
        assert (ROOT / path.partition("::")[0]).exists()
