"""Fail when a test on golden vectors was skipped, or none ran: `python tests/require_golden.py RESULTS.xml`."""

import sys
import xml.etree.ElementTree as ElementTree


def main(path: str) -> int:
    cases = [c for c in ElementTree.parse(path).iter("testcase") if "golden" in (c.get("classname") or "")]
    skipped = [f"{c.get('classname')}::{c.get('name')}" for c in cases if c.find("skipped") is not None]
    for name in skipped:
        print(f"skipped: {name}")
    print(f"{len(cases)} golden tests, {len(skipped)} skipped")
    return 1 if skipped or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
