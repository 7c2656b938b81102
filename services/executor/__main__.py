from contracts.message import Service
from libs.service import Process, run_service
from libs.settings import ExecutorSettings, load
from services.executor.app import build

if __name__ == "__main__":
    run_service(Process(Service.EXECUTOR, load(ExecutorSettings)), build)
