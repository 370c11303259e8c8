"""The command line: one module for each command. `main` imports only the command that is run."""
