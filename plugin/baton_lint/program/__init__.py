"""From the facts of files to the specs of flows."""
