"""What nobody waits for any more is not begun, by whichever thread; what has begun goes on."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from libs.patience import NobodyWaitsError, if_waited_for, waited_for
from libs.warehouse.warehouse import Warehouse, WarehouseSettings

PATIENCE = 0.2
UNREACHABLE = WarehouseSettings("nowhere", endpoint="http://127.0.0.1:9")


def past(moment: float) -> None:
    """Blocks until then."""
    threading.Event().wait(max(0.0, moment - time.monotonic()))


async def test_a_query_that_waited_too_long_for_a_thread_is_not_asked() -> None:
    """Had it been, it would fail otherwise: nothing answers there."""
    pool, until = ThreadPoolExecutor(1), time.monotonic() + PATIENCE
    warehouse = Warehouse(UNREACHABLE, pool)
    others = asyncio.get_running_loop().run_in_executor(pool, past, until)
    with waited_for(until):
        asking = asyncio.create_task(warehouse.query("SELECT 1"))
        await asyncio.sleep(0)
    await others
    with pytest.raises(NobodyWaitsError):
        await asking
    await warehouse.close()


def test_what_has_begun_goes_on() -> None:
    until = time.monotonic() + PATIENCE

    def work() -> bool:
        past(until)
        return True

    with waited_for(until), ThreadPoolExecutor(1) as pool:
        assert pool.submit(if_waited_for(work)).result()
    with pytest.raises(NobodyWaitsError), waited_for(until):
        pytest.fail("nobody waits for it")


def test_outside_of_a_question_there_is_no_end_to_patience() -> None:
    with waited_for(time.monotonic() + PATIENCE):
        pass
    with waited_for(None):
        assert if_waited_for(lambda: True)()
    assert if_waited_for(lambda: True)()
