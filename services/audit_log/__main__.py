from contracts.message import Service
from libs.service import Process, run_service
from libs.settings import AuditLogSettings, load
from services.audit_log.app import build

if __name__ == "__main__":
    run_service(Process(Service.AUDIT_LOG, load(AuditLogSettings)), build)
