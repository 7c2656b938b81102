"""Changes that break a promise, and the tests that must notice.

Each replaces text that stands exactly once in its file; a test proves that it does.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sabotage:
    name: str
    path: str
    old: str
    new: str
    tests: str
    """What must fail, as pytest takes it."""


SABOTAGES = (
    Sabotage(
        "inputs are decided again when they come again",
        "libs/slotlog/writer.py",
        "slot = lane.stream.slot_of(waiting.given.cause)",
        "slot = None",
        "tests/libs/slotlog",
    ),
    Sabotage(
        "a batch is answered before it is durable",
        "libs/slotlog/writer.py",
        "            if not await self._made_durable(key, lane, record):\n"
        "                continue\n"
        "            for waiting, wires in answers:\n"
        "                _resolve(waiting, wires)\n",
        "            for waiting, wires in answers:\n"
        "                _resolve(waiting, wires)\n"
        "            if not await self._made_durable(key, lane, record):\n"
        "                continue\n",
        "tests/libs/slotlog",
    ),
    Sabotage(
        "a lost reply is taken for success",
        "libs/slotlog/writer.py",
        "return await self._catch_up(key, lane, ours=record.commit_id)",
        "return True",
        "tests/libs/slotlog",
    ),
    Sabotage(
        "a refusal is not checked against the newest state",
        "libs/slotlog/writer.py",
        "        return lane.stream.slot == seen\n",
        "        return lane.stream.slot >= seen\n",
        "tests/libs/slotlog",
    ),
    Sabotage(
        "a slot can be overwritten",
        "libs/slotlog/cloud_storage.py",
        "                if_generation_match=0,\n",
        "",
        "tests/libs/slotlog/test_logs.py",
    ),
    Sabotage(
        "messages are acknowledged before they are handled",
        "libs/bus/lanes.py",
        "        verdict = await self._receiver(received)\n"
        "        await self._settle(received, verdict)\n"
        "        return verdict\n",
        "        await self._settle(received, Verdict.ACK)\n"
        "        return await self._receiver(received)\n",
        "tests/libs/bus",
    ),
    Sabotage(
        "what cannot be handled is dropped without a dead letter",
        "libs/bus/middleware/dead_letter.py",
        "        await self._transport.publish(dead_letters_of(received.subscription), [wire])\n",
        "        _ = wire\n",
        "tests/libs/bus",
    ),
    Sabotage(
        "a key with a wrong checksum is asked for",
        "services/gateway/keys.py",
        "if not hmac.compare_digest(_checksum(body), checksum):",
        "if not hmac.compare_digest(checksum, checksum):",
        "tests/gateway",
    ),
    Sabotage(
        "a ciphertext is bound to no tenant",
        "libs/vault/vault.py",
        "parts = (str(version), self.tenant_id, self.provider, self.credential_id)",
        "parts = (str(version), self.provider, self.credential_id)",
        "tests/libs/vault",
    ),
    Sabotage(
        "a reply of KMS is not checked",
        "libs/vault/vault.py",
        "        if found.plaintext_crc32c != google_crc32c.value(key):\n"
        "            raise DamagedInTransitError\n",
        "",
        "tests/libs/vault",
    ),
)
