"""Where each kind of resource keeps its policy."""

from libs.provisioning.accounts import IAM
from libs.provisioning.policies import VERSION, Address

PUBSUB = "https://pubsub.googleapis.com/v1"
KMS = "https://cloudkms.googleapis.com/v1"
SECRETS = "https://secretmanager.googleapis.com/v1"
STORAGE = "https://storage.googleapis.com/storage/v1"
PROJECTS = "https://cloudresourcemanager.googleapis.com/v1/projects"
ASKED = f"options.requestedPolicyVersion={VERSION}"


def address_of(kind: str, name: str, project: str) -> Address:
    if kind == "bucket":
        url = f"{STORAGE}/b/{name}/iam"
        read = f"{url}?optionsRequestedPolicyVersion={VERSION}"
        write = ("PUT", url)
        return Address(f"bucket {name}", ("GET", read), write, wrapped=False, shared=True)
    if kind == "project":
        url = f"{PROJECTS}/{project}"
        read_by = ("POST", f"{url}:getIamPolicy")
        write = ("POST", f"{url}:setIamPolicy")
        return Address(f"project {project}", read_by, write, shared=True)
    if kind == "account":
        url = f"{IAM}/projects/{project}/serviceAccounts/{name}"
        read_by = ("POST", f"{url}:getIamPolicy?{ASKED}")
        return Address(f"account {name}", read_by, ("POST", f"{url}:setIamPolicy"))
    resource = {
        "topic": f"{PUBSUB}/projects/{project}/topics/{name}",
        "subscription": f"{PUBSUB}/projects/{project}/subscriptions/{name}",
        "key": f"{KMS}/{name}",
        "secret": f"{SECRETS}/projects/{project}/secrets/{name}",
    }[kind]
    return Address(
        f"{kind} {name}",
        ("GET", f"{resource}:getIamPolicy?{ASKED}"),
        ("POST", f"{resource}:setIamPolicy"),
    )
