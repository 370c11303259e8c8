"""mypy's error codes: one for each rule, all below `baton`, so that `# type: ignore[baton]` silences all of them."""

from typing import Final

from mypy.errorcodes import ErrorCode

from baton_dsl.core.rules import CATALOGUE, Door

_CATEGORY: Final = "baton-dsl"

BATON: Final = ErrorCode("baton", "Check that flows can run", _CATEGORY)
STEP_NOT_IN_WORKFLOW: Final = ErrorCode(
    "baton-step-not-in-workflow", "Check that a workflow has the requested step", _CATEGORY, sub_code_of=BATON
)
NOT_MAPPED: Final = ErrorCode(
    "baton-not-mapped", "Check that a step is mapped if its list of results is requested", _CATEGORY, sub_code_of=BATON
)
OF_RULE: Final = {
    rule.slug: ErrorCode(rule.slug, f"Check for {rule.summary}", _CATEGORY, sub_code_of=BATON)
    for rule in CATALOGUE.values()
    if Door.TYPES in rule.doors
}
