"""Writes docs/licences.md: what the images contain and under which licence.

    python -m deploy.licences            (`make lock` does it)
    python -m deploy.licences --check

Read from the installed packages themselves. Exit code 1: the page is not current,
or a licence is not on the list of those that we may ship.
"""

import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
SERVICES = ("gateway", "tenant", "scheduler", "executor", "audit_log")
CLASSIFIER = "License :: OSI Approved :: "
ANY_CLASSIFIER = "License :: "
LONGEST = 60
# A licence's name must hold one of these words: permissive ones, and MPL, whose files stay as
# they are.
ALLOWED = ("apache", "bsd", "isc", "mit", "mozilla", "mpl", "psf", "python software", "unlicense")
HEAD = """# Licences

What the images contain beside our own code, the base image's Python and Debian. Made from the
packages' own statements by `make lock`.

| package | licence | in |
|---|---|---|
"""


def page() -> str:
    lines = [f"| {name} | {licence} | {_in(users)} |" for name, licence, users in rows()]
    return HEAD + "\n".join(lines) + "\n"


def _in(users: list[str]) -> str:
    return "all" if len(users) == len(SERVICES) else ", ".join(users)


def rows() -> list[tuple[str, str, list[str]]]:
    users: dict[str, list[str]] = {}
    for service in SERVICES:
        for name in locked(service):
            users.setdefault(name, []).append(service)
    found = {name: licence_of(name) for name in users}
    return [(name, found[name], users[name]) for name in sorted(users) if found[name]]


def locked(service: str) -> list[str]:
    text = (ROOT / "services" / service / "requirements.txt").read_text()
    lines = [line for line in text.splitlines() if line[:1].isalnum()]
    return [line.partition("==")[0].lower().replace("_", "-") for line in lines]


def licence_of(name: str) -> str:
    """As the package says it; empty for one that this platform does not install."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return ""
    return _stated(found) or "not stated"


def _stated(found: Distribution) -> str:
    said = found.metadata.json
    if expression := said.get("license_expression"):
        return str(expression)
    named = {
        value.removeprefix(CLASSIFIER).removeprefix(ANY_CLASSIFIER)
        for value in said.get("classifier", [])
        if value.startswith(ANY_CLASSIFIER)
    }
    if named:
        return " or ".join(sorted(named))
    text = str(said.get("license", ""))
    return text if len(text) <= LONGEST and "\n" not in text else ""


def not_allowed() -> list[str]:
    return [
        f"{name}: {licence}"
        for name, licence, _ in rows()
        if not any(word in licence.lower() for word in ALLOWED)
    ]


def main(argv: list[str]) -> int:
    if refused := not_allowed():
        print("these may not be shipped, or state nothing:", *refused, sep="\n  ", file=sys.stderr)
        return 1
    if "--check" not in argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        print("docs/licences.md is not current: run `make lock`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
