"""Where runs, models and deployments are recorded: PostgreSQL."""
