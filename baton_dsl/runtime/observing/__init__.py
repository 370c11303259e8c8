"""What is asked of the database to see how workflows, queues and processes are doing. Nothing here changes a row."""
