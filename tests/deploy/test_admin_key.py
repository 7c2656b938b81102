"""The admin key generator: strong keys, shown once, two valid while they are changed."""

import subprocess
import sys
from pathlib import Path

from pydantic import SecretStr

from deploy.admin_key import QUESTION, admin_key
from libs.settings import Environment, GatewaySettings
from libs.testing.processes import ROOT
from libs.vault.keys import CHECKSUM_LENGTH, base62_checksum


def made(*arguments: str, said: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.admin_key", *arguments],
        cwd=ROOT,
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.strip()


def allowed(value: str) -> tuple[str, ...]:
    """What a production gateway makes of it; raises when it is too weak."""
    settings = GatewaySettings(environment=Environment.PRODUCTION, admin_api_key=SecretStr(value))
    return settings.admin_keys


def test_a_key_is_strong_and_carries_its_checksum() -> None:
    key = admin_key()
    assert allowed(key) == (key,)
    assert base62_checksum(key[:-CHECKSUM_LENGTH]) == key[-CHECKSUM_LENGTH:]
    assert key != admin_key()


def test_without_a_prompt_it_prints_the_key_alone() -> None:
    code, key = made("--no-prompt")
    assert (code, allowed(key)) == (0, (key,))


def test_it_asks_before_it_shows_a_key() -> None:
    assert made(said="n\n") == (3, QUESTION.strip())


def test_the_newest_old_key_is_kept_beside_the_new_one() -> None:
    newest, oldest = admin_key(), admin_key()
    _, value = made("--keep", said=f"{newest},{oldest}")
    new, kept = allowed(value)
    assert kept == newest
    assert new not in {newest, oldest}


def test_a_file_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "admin-key"
    assert made("--file", str(path)) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    assert made("--file", str(path)) == (1, "")
    assert path.read_text() == before
