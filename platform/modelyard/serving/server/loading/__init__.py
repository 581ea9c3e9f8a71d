"""From a folder of files to a model that answers: which files, whether to trust them, the fastest way that is equal."""
