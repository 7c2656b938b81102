"""Results as JUnit XML, which every CI reads."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from deploy.suites.checks import Result


def junit(suite: str, results: Sequence[Result]) -> str:
    counts = {o: sum(r.outcome == o for r in results) for o in ("failed", "skipped")}
    root = ET.Element(
        "testsuite",
        name=f"convergence.{suite}",
        tests=str(len(results)),
        failures=str(counts["failed"]),
        skipped=str(counts["skipped"]),
        time=f"{sum(r.seconds for r in results):.3f}",
    )
    for result in results:
        case = ET.SubElement(
            root,
            "testcase",
            classname=f"convergence.{suite}.{result.check.group}",
            name=result.check.name,
            time=f"{result.seconds:.3f}",
        )
        if result.outcome == "failed":
            ET.SubElement(case, "failure", message=result.detail[:500]).text = result.detail
        if result.outcome == "skipped":
            ET.SubElement(case, "skipped", message=result.detail)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
