from contracts.message import Service
from libs.service import Process, run_service
from libs.settings import GatewaySettings, load
from services.gateway.app import build

if __name__ == "__main__":
    run_service(Process(Service.GATEWAY, load(GatewaySettings)), build)
