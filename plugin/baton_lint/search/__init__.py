"""Find the files that matter: folders, the search for words, the cache, and the processes that read files."""
