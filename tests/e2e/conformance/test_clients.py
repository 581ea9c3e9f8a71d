"""Clients that others wrote get from the server what MLflow itself predicts."""

import pytest

CLIENTS = ["tritonclient_http.py", "tritonclient_grpc.py", "mlserver_http.py", "mlserver_grpc.py"]


@pytest.mark.parametrize("client", CLIENTS)
def test_client_gets_mlflows_predictions(run, client):
    run(client)
