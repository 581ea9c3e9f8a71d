"""Where the files of runs and models lie: a versioned bucket behind an S3 API."""
