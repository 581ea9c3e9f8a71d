"""What watches the platform: Prometheus, Alertmanager and their sources."""
