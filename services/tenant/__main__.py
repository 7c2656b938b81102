from contracts.message import Service
from libs.service import Process, run_service
from libs.settings import ServiceSettings, load
from services.tenant.app import build

if __name__ == "__main__":
    run_service(Process(Service.TENANT, load(ServiceSettings)), build)
