"""The scheduler, letting the benches' step types pass."""

from unittest.mock import patch

from contracts.message import Service
from contracts.pipelines import STEP_TYPES
from libs.service import Process, run_service
from libs.settings import SchedulerSettings, load
from services.scheduler import app
from services.scheduler.definitions import shapes
from tests.bench.platform.executor import OURS

if __name__ == "__main__":
    with patch.object(shapes, "STEP_TYPES", (*STEP_TYPES, *OURS)):
        run_service(Process(Service.SCHEDULER, load(SchedulerSettings)), app.build)
