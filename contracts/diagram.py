"""Who tells whom what, for people: services, their topics and the messages on them."""

from collections.abc import Iterator

from contracts.catalogue import CATALOGUE, CONSUMING_SERVICES, topic_of
from contracts.message import Kind, Service

_INTRODUCTION = """\
# Who tells whom what

Made from `contracts/catalogue.py` by `make contracts`.

Each service publishes to its own topic. Beside what the diagram shows, replies go back to the
gateway instance that asked, and audit_log records every topic whole.
"""


def flow() -> str:
    return "\n".join([_INTRODUCTION, *_diagram(), "", *_tables()])


def _diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "flowchart LR"
    for producer in Service:
        yield f"  {producer} ==> {producer}-topic([{topic_of(producer)}])"
    for producer in Service:
        for consumer in CONSUMING_SERVICES:
            if names := _carried(producer, consumer):
                yield f'  {producer}-topic -- "{_summary(names)}" --> {consumer}'
    yield "```"


def _tables() -> Iterator[str]:
    for producer in Service:
        yield f"## Published by {producer}"
        yield ""
        yield "| message | kind | acted on by |"
        yield "|---|---|---|"
        for entry in CATALOGUE:
            if producer in entry.producers:
                reply = "the instance that asked" if entry.model.kind is Kind.REPLY else "—"
                who = ", ".join(entry.consumers) or reply
                yield f"| `{entry.model.wire_type}` | {entry.model.kind} | {who} |"
        yield ""


def _carried(producer: Service, consumer: Service) -> list[str]:
    return [
        entry.model.wire_type
        for entry in CATALOGUE
        if producer in entry.producers and consumer in entry.consumers
    ]


def _summary(names: list[str]) -> str:
    """A line for each domain, so that arrows stay readable."""
    domains: dict[str, list[str]] = {}
    for name in names:
        domain, _, rest = name.removesuffix(".v1").partition(".")
        domains.setdefault(domain, []).append(rest)
    return "<br/>".join(
        f"{domain}: {', '.join(rest)}" if all(rest) else domain for domain, rest in domains.items()
    )
