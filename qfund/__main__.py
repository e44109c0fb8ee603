"""``python -m qfund``: the same as the ``qfund`` command."""

from __future__ import annotations

import sys

from qfund.cli import main

sys.exit(main())
