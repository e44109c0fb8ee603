"""How long the command line takes to say its help, against its limits.

    python -m benchmarks.startup

Each figure is the least of ten runs of the installed console script, as whole processes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

RUNS = 10
ROOT_LIMIT, NOUN_LIMIT = 0.150, 0.300  # seconds
NOUNS = (
    "ingest",
    "data",
    "backtest",
    "strategy",
    "runs",
    "config",
    "db",
    "init",
    "demo",
    "doctor",
    "version",
)


def least(words: list[str]) -> float:
    """The least wall time of ten runs, in seconds."""
    program = str(Path(sys.executable).with_name("qfund"))
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run([program, *words], check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    """Print one line per command: seconds, limit, and whether it holds."""
    bare = min(_bare() for _ in range(RUNS))
    print(f"python -c pass                {bare * 1e3:6.0f} ms")
    for words, limit in [((), ROOT_LIMIT), *(((noun,), NOUN_LIMIT) for noun in NOUNS)]:
        took = least([*words, "--help"])
        name = " ".join(["qfund", *words, "--help"])
        print(f"{name:28}  {took * 1e3:6.0f} ms  limit {limit * 1e3:.0f} ms  ratio {took / limit:.2f}")


def _bare() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
