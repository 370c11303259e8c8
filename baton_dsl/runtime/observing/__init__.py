"""Read the state of workflows and the reasons for it, problems of a database, and the effects of a deploy."""

from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter as WorkflowFilter
