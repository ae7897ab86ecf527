# Prints the verdicts of one run of Autobahn|Testsuite, one case per line; Python 2.7, as the suite itself.
import json
import sys

with open(sys.argv[1]) as index:
    (cases,) = json.load(index).values()
for case in sorted(cases, key=lambda case: [int(part) for part in case.split(".")]):
    print("%s %s %s" % (case, cases[case]["behavior"], cases[case]["behaviorClose"]))
