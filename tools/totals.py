#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""totals.py RC_UNIT RC_DRIVEN REPORT.xml ...: add up JUnit reports.

Prints what failed and what was skipped, and the closing line "N passed, N failed"; exits 1 on any
failure, when a runner failed without reporting a failed test, or when nothing ran at all.
"""
import os
import sys
import xml.etree.ElementTree as xml


def main(arguments):
    runners_ok = all(int(code) == 0 for code in arguments[:2])
    passed, failed, skipped = 0, 0, []

    def name(case):
        return f"{case.get('classname')}::{case.get('name')}"

    for path in arguments[2:]:
        if not os.path.exists(path):
            continue
        for case in xml.parse(path).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                print(f"failed: {name(case)}")
            elif case.find("skipped") is not None:
                skipped.append(name(case))
            else:
                passed += 1
    for each in skipped:
        print(f"skipped: {each}")
    if os.environ.get("STRICT") == "1":
        failed += len(skipped)
    if not runners_ok and failed == 0:
        print("a test runner failed without a failed test: see its output above")
        failed += 1
    if passed + failed == 0:
        print("no test matches: make test without T= runs all")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
