"""The two record types that vectorbt's kernel fills, as vectorbt 1.2 defines them.

Promises: equal to ``vectorbt.portfolio.enums.order_dt`` and ``log_dt``, which a test holds; they are written
out here, since importing that module takes seconds.
"""

from __future__ import annotations

import numpy as np

WHOLE, REAL, FLAG = np.int64, np.float64, np.bool_
ORDER_RECORD = np.dtype(
    [
        *((name, WHOLE) for name in ("id", "col", "idx")),
        *((name, REAL) for name in ("size", "price", "fees")),
        ("side", WHOLE),
    ],
    align=True,
)
STATE = ("cash", "position", "debt", "free_cash", "val_price", "value")
LOG_RECORD = np.dtype(
    [
        *((name, WHOLE) for name in ("id", "group", "col", "idx")),
        *((name, REAL) for name in (*STATE, "req_size", "req_price")),
        *((name, WHOLE) for name in ("req_size_type", "req_direction")),
        *((f"req_{name}", REAL) for name in ("fees", "fixed_fees", "slippage")),
        *((f"req_{name}", REAL) for name in ("min_size", "max_size", "size_granularity")),
        ("req_reject_prob", REAL),
        *((f"req_{name}", FLAG) for name in ("lock_cash", "allow_partial", "raise_reject", "log")),
        *((f"new_{name}", REAL) for name in STATE),
        *((f"res_{name}", REAL) for name in ("size", "price", "fees")),
        *((f"res_{name}", WHOLE) for name in ("side", "status", "status_info")),
        ("order_id", WHOLE),
    ],
    align=True,
)
