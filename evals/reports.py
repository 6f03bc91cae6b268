"""An evaluation as the files that build servers read: JUnit XML, one test for each answer."""

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from pipelines.graph.model import Json

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Mapping[str, Json]) -> str:
    """Return JUnit XML of a report (`shapes.report`): an answer that failed its assertions is a failure, one that could
    not be scored an error, and each part of the gate that was missed a failure beside them."""
    results: Sequence[Mapping[str, Json]] = report["results"]
    name = f"{report['pipeline']} v{report['version'] or 'draft'} on {report['dataset']} v{report['dataset_version']}"
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(results) + len(report["gate"]["missed"])),
        failures=str(sum(one["passed"] is False for one in results) + len(report["gate"]["missed"])),
        errors=str(sum(one["state"] == "error" for one in results)),
        time=f"{sum(one['seconds'] or 0 for one in results):.3f}",
    )
    for one in results:
        _case(suite, name, one)
    for sentence in report["gate"]["missed"]:
        gate = ET.SubElement(suite, "testcase", classname=name, name=f"gate: {sentence.partition(':')[0].lower()}")
        ET.SubElement(gate, "failure", message=_clean(sentence))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, name: str, one: Mapping[str, Json]) -> None:
    said = f"{one['case']} [{one['repeat']}]"
    case = ET.SubElement(suite, "testcase", classname=name, name=_clean(said), time=f"{one['seconds'] or 0:.3f}")
    if one["state"] == "error":
        ET.SubElement(case, "error", message=_clean(one["error"] or ""))
    elif one["passed"] is False:
        failed = [metric for metric in one["metrics"] if metric["passed"] is False]
        lines = [f"{metric['name']}: {metric['score']:.2f}. {metric['reason']}" for metric in failed]
        failure = ET.SubElement(case, "failure", message=_clean(lines[0] if lines else ""))
        failure.text = _clean("\n".join(lines))


def _clean(text: str) -> str:
    """Return text without what XML 1.0 cannot hold."""
    return _NOT_XML.sub("", text)
