"""The catalogue: every rule, by code. A rule's module holds why it exists, its examples and its function."""

from typing import Final

from baton_dsl.core.rules import (
    blocking_call,
    connection,
    cycle,
    decorator_order,
    duplicate_flow,
    duplicate_step,
    each_not_iterable,
    input_conflict,
    inputs,
    missing_annotation,
    missing_upstream,
    models,
    not_awaited,
    not_optional,
    not_serializable,
    open_flow,
    option,
    replacement,
    self_dependency,
    shadowed_default,
    star_args,
    unimportable_step,
    unparsable_file,
    unreachable_step,
    unused_ignore,
    unused_upstream,
    upstream_type,
)
from baton_dsl.core.rules.rule import Context, Door, Example, Rule

__all__ = ["CATALOGUE", "Context", "Door", "Example", "Rule"]

CATALOGUE: Final[dict[str, Rule]] = {
    rule.code: rule
    for rule in (
        cycle.RULE,
        missing_upstream.RULE,
        duplicate_step.RULE,
        unreachable_step.RULE,
        self_dependency.RULE,
        duplicate_flow.RULE,
        upstream_type.RULE,
        not_optional.RULE,
        not_serializable.RULE,
        missing_annotation.RULE,
        each_not_iterable.RULE,
        input_conflict.RULE,
        star_args.RULE,
        unused_upstream.RULE,
        inputs.RULE,
        shadowed_default.RULE,
        option.RULE,
        unimportable_step.RULE,
        decorator_order.RULE,
        blocking_call.RULE,
        not_awaited.RULE,
        connection.RULE,
        replacement.RULE,
        models.RULE,
        unused_ignore.RULE,
        unparsable_file.RULE,
        open_flow.RULE,
    )
}
