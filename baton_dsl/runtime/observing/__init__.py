"""Reads: how workflows stand and why, what is wrong with a database, what a deploy would do. Nothing is written."""

from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter as WorkflowFilter
