"""Images of an older version: built from this repository's own history, or there already.

OLD_REF chooses a commit; otherwise it is the last release, or the commit before this
one. OLD_TAG names images that are there, such as released ones.
"""

import os
import subprocess

from tests.containers.compose import ROOT, SERVICES
from tests.stack import StackError

DOCKERFILE = "deploy/Dockerfile"


def old_ref() -> str:
    if chosen := os.environ.get("OLD_REF"):
        return chosen
    return _git("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^") or "HEAD^"


def old_tag() -> str:
    """The tag of each service's older image, which is built unless it is there."""
    if tag := os.environ.get("OLD_TAG"):
        return tag
    build_old(old_ref())
    return "old"


def build_old(ref: str) -> None:
    """Tag each service of that version `old`."""
    if not _git("cat-file", "-t", f"{ref}:{DOCKERFILE}"):
        raise StackError(f"{ref} has no {DOCKERFILE}: choose another version with OLD_REF=…")
    for service in SERVICES:
        _build(ref, service)


def _build(ref: str, service: str) -> None:
    options = ["-q", "-f", DOCKERFILE, "--target", "service", "-t", f"convergence/{service}:old"]
    options += ["--build-arg", f"SERVICE={service}", "--build-arg", f"VERSION={ref}"]
    with subprocess.Popen(["git", "archive", ref], cwd=ROOT, stdout=subprocess.PIPE) as source:
        done = subprocess.run(
            ["docker", "build", *options, "-"],
            stdin=source.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise StackError(f"building {service} of {ref} failed:\n{done.stderr[-3000:]}")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
