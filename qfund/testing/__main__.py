"""A fake in a process of its own: ``python -m qfund.testing MODULE:FACTORY [WORD …]``.

Prints its address as the first line and serves until its standard input ends. The log can be read at
``/_fake/log``; `qfund.testing.process` does both ends.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from qfund.testing.vendor import Factory


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m qfund.testing", description="Serve a fake vendor.")
    parser.add_argument("factory", help="MODULE:FACTORY, a function that makes the fake")
    parser.add_argument("word", nargs="*", help="what the function is called with")
    words = parser.parse_args()
    module, _, name = words.factory.partition(":")
    factory: Factory = getattr(importlib.import_module(module), name)
    fake = factory(*words.word).start()
    sys.stdout.write(f"{fake.url}\n")
    sys.stdout.flush()
    sys.stdin.read()
    fake.stop()


main()
