"""The full names by which mypy knows the DSL. Moving a class breaks the plugin silently, so a test resolves each."""

from typing import Final

STEP_FUNCTION: Final = "baton_dsl.step.step"
STEP: Final = "baton_dsl.step.Step"
STEP_DECORATOR: Final = "baton_dsl.step.StepDecorator"
FROM: Final = "baton_dsl.step.From"
INPUT: Final = "baton_dsl.step.Input"
EACH: Final = "baton_dsl.step.Each"
FLOW: Final = "baton_dsl.flow.Flow"
WORKFLOW: Final = "baton_dsl.runtime.workflow.Workflow"
SYNC_WORKFLOW: Final = "baton_dsl.runtime.workflow.SyncWorkflow"
CONTEXT: Final = "baton_dsl.context.StepContext"
