raise LookupError("no settings")
