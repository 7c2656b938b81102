"""What step types are made of: the world outside, opened once for all of them."""

from dataclasses import dataclass

from libs.clock import Clock
from libs.slotlog.cloud_storage import Bucket
from libs.warehouse.warehouse import Warehouse
from services.executor.steps.step import Credentials


@dataclass(frozen=True, slots=True)
class Tools:
    """Safe to share between runs."""

    warehouse: Warehouse
    files: Bucket
    """For files of a run, below `StepRun.work_folder`."""
    credentials: Credentials
    clock: Clock
    development: bool = False
    """Whether local folders and plain http are allowed."""
