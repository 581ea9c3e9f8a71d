"""The model under LitServe as its documentation shows it: one worker, requests put together for up to 5 ms."""

import itertools
import sys

import litserve
import mlflow.pyfunc
import pandas as pd


class Model(litserve.LitAPI):
    def setup(self, device):
        self.model = mlflow.pyfunc.load_model(sys.argv[1])

    def decode_request(self, request):
        return pd.DataFrame(**request["dataframe_split"])

    def batch(self, inputs):
        self.sizes = [len(one) for one in inputs]
        return pd.concat(inputs)

    def predict(self, frame):
        return self.model.predict(frame)

    def unbatch(self, output):
        ends = list(itertools.accumulate(self.sizes))
        return [output[end - size : end] for size, end in zip(self.sizes, ends, strict=True)]

    def encode_response(self, output):
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    api = Model(max_batch_size=64, batch_timeout=0.005)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False, log_level="warning"
    )
