"""Holds a reader of Sealyard's forms to all cases of this kit.

    python3 check.py COMMAND [ARGUMENT...]       all steps, in their order
    python3 check.py --until 3 COMMAND ...       the steps 1 to 3

The command reads a JSON list of tasks from its standard input and writes a JSON list of as many
answers (README.md). Exits with 0 if every answer is right. It needs Python 3 alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def wrong(case: dict[str, Any], answer: object) -> str | None:
    """Say what is wrong with an answer; None if it is right."""
    if not isinstance(answer, dict):
        return f"is no object: {answer!r:.200}"
    if "broken" in answer:
        return f"is that the reader is broken: {answer['broken']}"
    if case["expected"] is None:
        return None if "refused" in answer else f"opens what must be refused: {answer!r:.200}"
    for name, value in case["expected"].items():
        if not holds(value, answer.get(name)):
            return f"has {name} {answer.get(name)!r:.200}; it must be {value!r:.200}"
    return None


def holds(expected: object, found: object) -> bool:
    """Tell whether what was found is what was expected; objects may have further members."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            holds(expected[name], found.get(name)) for name in expected
        )
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return False
        return all(holds(one, other) for one, other in zip(expected, found))
    return type(expected) is type(found) and expected == found


def main(words: list[str]) -> int:
    """Ask the reader for every case; return the exit status."""
    until = 99
    if words[:1] == ["--until"]:
        until, words = int(words[1]), words[2:]
    if not words:
        sys.exit(__doc__)
    told = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))
    failed = 0
    for number, step in enumerate(told["steps"][:until], 1):
        cases = step["cases"]
        asked = json.dumps([one["task"] for one in cases])
        ran = subprocess.run(words, input=asked, stdout=subprocess.PIPE, text=True, check=False)
        answers = json.loads(ran.stdout) if ran.returncode == 0 else []
        if len(answers) != len(cases):
            print(f"{number}. {step['about']}: {len(answers)} answers to {len(cases)} tasks")
            failed += len(cases)
            continue
        found = [(one, wrong(one, answer)) for one, answer in zip(cases, answers)]
        mistakes = [f"   {one['name']}: the answer {why}" for one, why in found if why]
        print(f"{number}. {step['about']}: {len(cases) - len(mistakes)} of {len(cases)} right")
        print("\n".join(mistakes[:5]), end="\n" if mistakes else "")
        failed += len(mistakes)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
