"""A brief on a question: notes on each source, verdicts of two models, and what they agree on."""

from research_brief.flow import research_brief as research_brief

__all__ = ["research_brief"]
