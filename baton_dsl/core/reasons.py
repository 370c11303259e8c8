"""Why a node ended without an error of its own: the codes and sentences that the SQL functions write.

The SQL writes them. They are repeated here for code that reads them or runs flows in memory; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, str]] = {
    "BTN507": "it was cancelled, because an upstream did not complete or the workflow was cancelled",
    "BTN508": "the process that ran the attempt died",
    "BTN509": "a map: the value is no collection, or zipped collections differ in length",
    "BTN511": "a map: too many items failed; `workflow.items(step)` tells why each of them failed",
    "BTN512": "it was skipped, because an upstream whose result it needs was skipped",
    "BTN513": "a map: it would have more items than `max_items`",
}
"""What each code means, for the reference of errors."""

WITH_ITS_WORKFLOW: Final = "BTN507: cancelled, since its workflow was"
"""The error of a job that was cancelled with its workflow."""

BEFORE_IT_RETURNED: Final = "BTN507: cancelled, since its node was before it returned"
"""The error of an attempt whose node was cancelled while its function ran."""

WITH_AN_UPSTREAM: Final = "BTN507: cancelled, since an upstream was "
"""The error of a node that an upstream has cancelled, before that upstream's outcome."""

SKIPPED: Final = "BTN512: skipped, since an upstream was"
"""The reason of a node that was skipped because it needs the result of a skipped upstream."""
