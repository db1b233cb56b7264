"""Results of smoke tests as JUnit XML, for playbooks that run without an orchestrator."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ansible.errors import AnsibleActionFail

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(application: str, hosts: Mapping[str, Sequence[Mapping[str, Any]] | None]) -> bytes:
    """One suite: a case for each test on each host, and an error for a host that did not answer."""
    suite = ElementTree.Element("testsuite", name=_plain(application))
    counts = {"tests": 0, "failures": 0, "errors": 0}
    seconds = 0.0
    for host, placements in hosts.items():
        if placements is None:
            case = _case(suite, application, f"smoke tests on {host}", 0.0)
            ElementTree.SubElement(case, "error", message="the host did not answer", type="unreachable")
            counts["tests"] += 1
            counts["errors"] += 1
        for test in (test for placement in placements or () for test in placement.get("tests", ())):
            case = _case(suite, application, f"{test['name']} on {host}", test["seconds"])
            counts["tests"] += 1
            seconds += test["seconds"]
            if not test["passed"]:
                text = _plain(test["message"])
                ElementTree.SubElement(case, "failure", message=text, type="smoke").text = text
                counts["failures"] += 1
    suite.attrib.update({name: str(count) for name, count in counts.items()}, time=f"{seconds:.3f}")
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def write(path: str, content: bytes) -> bool:
    """The file has that content, replaced at once; whether it had another.

    Raises:
        AnsibleActionFail: it cannot be written.
    """
    target = Path(path)
    try:
        if target.is_file() and target.read_bytes() == content:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError as error:
        raise AnsibleActionFail(f"the report {path} cannot be written: {error.strerror}") from None
    return True


def _case(suite: ElementTree.Element, application: str, name: str, seconds: float) -> ElementTree.Element:
    attributes = {"classname": _plain(application), "name": _plain(name), "time": f"{seconds:.3f}"}
    return ElementTree.SubElement(suite, "testcase", attributes)


def _plain(text: str) -> str:
    return _ILLEGAL.sub("", text)
