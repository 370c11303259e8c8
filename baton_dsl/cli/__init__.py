"""The command line. A module a command; `main` knows them by name and imports only the one that is asked for."""
