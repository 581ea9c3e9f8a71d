"""What of MLflow must not be had from outside: each was open once in some version, or might be."""

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"

CREATE = "/api/2.0/mlflow/experiments/create"

# Not without a login.
CLOSED = [
    ("GET", SEARCH),
    ("POST", "/api/2.0/mlflow/runs/create"),
    ("GET", "/ajax-api/2.0/mlflow/experiments/search?max_results=1"),
    ("POST", "/ajax-api/3.0/jobs/search"),
    ("POST", "/ajax-api/3.0/jobs"),
    ("GET", "/ajax-api/3.0/jobs/1"),
    ("POST", "/v1/traces"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/note.txt"),
    ("POST", "/api/2.0/mlflow-artifacts/mpu/create/0/x"),
    ("POST", "/api/2.0/mlflow-artifacts/mpu/complete/0/x"),
    ("POST", "/api/2.0/mlflow-artifacts/mpu/abort/0/x"),
    ("GET", "/get-artifact?run_id=x&path=y"),
    ("GET", "/model-versions/get-artifact?name=x&version=1&path=y"),
    ("POST", "/graphql"),
    ("POST", "/api/2.0/mlflow/webhooks"),
    ("GET", "/api/2.0/mlflow/users/get?username=admin"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/static-files/index.html"),
    ("GET", "/api/3.0/mlflow/server-info"),
    ("GET", "/signup"),
    ("GET", "/health/../api/2.0/mlflow/users/list"),
    ("POST", "/modelyard/tokens"),
    ("GET", "/openapi.json"),
]

# Not even by the administrator: where a model's version is said to be.
SOURCES = ["/etc/passwd", "file:///etc", "s3://mlflow/0", "http://127.0.0.1/", "models:/x/1"]

# Nor what lies outside of the bucket, below ARTIFACTS.
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
OUTSIDE = ["..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/secrets", "0/%252e%252e/x"]
