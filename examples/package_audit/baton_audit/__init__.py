"""An audit of the Python environment that its steps run in: an example of a flow, and what `baton demo` runs."""

from baton_audit.facts import Audit, Report
from baton_audit.flow import package_audit

__all__ = ["Audit", "Report", "package_audit"]
