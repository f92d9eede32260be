"""``make clinic``: every broken and every healthy model through the doctor, and a confusion table.

PyTorch has an environment of its own, so its cases run there, in another process.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections import Counter
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

RIGHT, FALSE_ALARMS = 0.95, 0.02  # goals


def broken(module):
    """Of each case of a module: its name, what was expected, and the verdict."""
    cases = import_module("broken").CASES
    before = 0 if module == "broken" else len(cases)
    import_module(module)
    for case in cases[before:]:
        yield case.name, case.expected, verdict(case.build())


def verdict(arguments):
    from vae_notes import diagnose

    try:
        return diagnose(**arguments).verdict
    except Exception as error:  # which is no verdict, and counts as a wrong one
        return f"{type(error).__name__}: {error}"


def of_torch(python):
    """The cases of PyTorch, as found by the interpreter that has it; none where there is none."""
    found = Path(python).exists() and subprocess.run([python, "-c", "import torch"], check=False)
    if not found or found.returncode:
        print("PyTorch is not installed: its cases are left out.")
        return []
    command = [python, __file__, "--module", "broken_torch"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def report(found, well):
    """Print the table; whether the goals are met."""
    causes = Counter(expected[0] for _, expected, _ in found if expected[0] != "healthy")
    right = Counter(e[0] for _, e, v in found if v in e and e[0] != "healthy")
    blind = Counter(e[0] for _, e, v in found if v == "healthy" and e[0] != "healthy")
    print(f"{'what is broken':<56}{'models':>7}{'named first':>13}{'called healthy':>16}")
    for cause, count in sorted(causes.items()):
        print(f"{cause:<56}{count:>7}{right[cause]:>13}{blind[cause]:>16}")
    well = well + [(n, e, v) for n, e, v in found if e[0] == "healthy"]
    alarms = [(name, v) for name, _, v in well if v != "healthy"]
    total, hit, missed = sum(causes.values()), sum(right.values()), sum(blind.values())
    print(f"{'all':<56}{total:>7}{hit:>13}{missed:>16}")
    print(f"Right cause first: {hit / total:.1%} (goal {RIGHT:.0%}). Called healthy: {missed} (0).")
    print(
        f"Healthy models: {len(well)}, called broken {len(alarms)}, {len(alarms) / len(well):.1%} "
        f"(goal {FALSE_ALARMS:.0%})."
    )
    for name, expected, said in found:
        if said not in expected:
            print(f"  {name}: {said} (expected {expected[0]})")
    for name, said in alarms:
        print(f"  {name}: {said} (healthy)")
    return hit >= RIGHT * total and not missed and len(alarms) <= FALSE_ALARMS * len(well)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", metavar="PYTHON", default="", help="an interpreter that has it")
    parser.add_argument("--module", help="print the verdicts of one module as JSON")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of data that a case gives unscaled on purpose
    if given.module:
        print(json.dumps(list(broken(given.module))))
        return 0
    started = time.time()
    found = [tuple(of) for of in of_torch(given.torch)] if given.torch else []
    for module in ("broken", "broken_networks"):
        print(f"{module} ...", flush=True)
        found += broken(module)
    healthy = import_module("healthy")
    well = []
    for group in healthy.GROUPS:
        print(f"{group.name} ...", flush=True)
        well += [(name, None, verdict(of)) for name, of in healthy.models(group)]
    met = report(found, well)
    print(f"{time.time() - started:.0f} s")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
