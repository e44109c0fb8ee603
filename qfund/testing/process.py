"""A fake in a process of its own, so that what it costs is not measured with what is tested.

Promises: the process ends with the ``with``; its log comes back whole.
"""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Self
from urllib.request import urlopen

from qfund.testing.log import Log


class Separate:
    """A fake that a factory makes in another process.

    Args:
        factory: ``module:function``, see `qfund.testing.vendor.Factory`; the module must be on
            ``PYTHONPATH``.
        words: what the function is called with.
    """

    def __init__(self, factory: str, *words: str) -> None:
        self._factory = factory
        self._words = [sys.executable, "-m", "qfund.testing", factory, *words]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        """Return once it answers.

        Raises:
            RuntimeError: it ended instead.
        """
        self._process = subprocess.Popen(
            self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None  # noqa: S101 - as asked
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self._process.communicate()
            raise RuntimeError(f"The fake of {self._factory} ended with {self._process.returncode}.")
        return self

    def log(self) -> Log:
        """What has reached it so far."""
        with urlopen(f"{self.url}/_fake/log") as answer:  # noqa: S310 - its own address on loopback
            return Log.read(json.load(answer))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None
