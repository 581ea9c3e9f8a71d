"""The tracking server: MLflow, with what a platform asks of it."""
