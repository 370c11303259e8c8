"""Which files matter: folders, the search for words, the cache, and the processes that read."""
