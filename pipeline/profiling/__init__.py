"""What a log's own files tell of its columns, and the config that is drafted from it. The face is `drafting`."""
