"""One case of the benchmark in a fresh interpreter.

``python -m grokinterp.benchmarks.processes CASE JSON`` prints the case's numbers as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from grokinterp.errors import GrokinterpError

PEER = Path(__file__).with_name("peer.py")


class BenchmarkError(GrokinterpError):
    """A case of the benchmark could not be run."""


def start_case(case: str, **setting: Any) -> subprocess.Popen[str]:
    """Start a case; :func:`result_of` waits for it."""
    module = "grokinterp.benchmarks.processes"
    return _start(sys.executable, "-m", module, case, json.dumps(setting))


def start_peer(python: str, **setting: Any) -> subprocess.Popen[str]:
    """Start the notebook's loop under an interpreter that has TransformerLens 3.x."""
    return _start(python, str(PEER), json.dumps(setting))


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a case and return its numbers.

    Raises
    ------
    BenchmarkError
        If it failed; with the last line that it wrote.
    """
    output, errors = process.communicate()
    if process.returncode:
        last = (errors.strip().splitlines() or ["no message"])[-1]
        raise BenchmarkError(
            f"a case of the benchmark ended with status {process.returncode}: {last}. "
            "Run it again, or leave the case out with --only."
        )
    return json.loads(output.strip().splitlines()[-1])


def run_case(case: str, **setting: Any) -> dict[str, Any]:
    """Run a case and return its numbers."""
    return result_of(start_case(case, **setting))


def _start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def main() -> None:
    """Run the case that the command line names."""
    from grokinterp.benchmarks.all_cases import CASES

    case, setting = sys.argv[1:]
    sys.stdout.write(json.dumps(CASES[case](**json.loads(setting))) + "\n")


if __name__ == "__main__":
    main()
