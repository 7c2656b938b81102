from contracts.message import Service
from libs.service import Process, run_service
from libs.settings import SchedulerSettings, load
from services.scheduler.app import build

if __name__ == "__main__":
    run_service(Process(Service.SCHEDULER, load(SchedulerSettings)), build)
