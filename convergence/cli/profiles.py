"""Where the command line finds its gateway and key: the environment, then a file of mode 0600."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Profile:
    """One gateway, with a tenant's key or an operator's."""

    url: str = DEFAULT_URL
    key: str = ""
    admin_key: str = ""

    def __repr__(self) -> str:
        return f"Profile({self.url})"


def path() -> Path:
    folder = os.environ.get("CONVERGENCE_CONFIG_DIR") or platformdirs.user_config_dir("convergence")
    return Path(folder) / "profiles.json"


def read(name: str) -> Profile:
    """What the file says, where the environment does not say otherwise."""
    kept = _all().get(name, {})
    names = {"url": "URL", "key": "API_KEY", "admin_key": "ADMIN_KEY"}
    said = {f: os.environ.get(f"CONVERGENCE_{variable}", "") for f, variable in names.items()}
    return Profile(**{f: said[f] or kept.get(f, getattr(Profile(), f)) for f in names})


def keep(name: str, profile: Profile) -> Path:
    """Write it for its owner alone, whatever the umask; never half a file."""
    place = path()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps({**_all(), name: asdict(profile)}, indent=2)
    new = place.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(place)
    return place


def _all() -> dict[str, dict[str, str]]:
    try:
        found: dict[str, dict[str, str]] = json.loads(path().read_text())
    except FileNotFoundError:
        return {}
    return found
