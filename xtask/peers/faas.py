"""A map on AWS Lambda by Lithops for Python, as a line of JSON: `faas.py ENDPOINT CALLS CHUNKSIZE`.

`cargo xtask bench faas` runs it against an emulator, beside the same map by lithops. Two things are not as on AWS: the
address, which Lithops writes into its invocations, and the layer, which it builds by installing packages in a function;
here the packages are on the path of the functions already.
"""

import io
import json
import os
import resource
import sys
import time
import zipfile

endpoint, calls, chunksize = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.environ.update(
    AWS_ENDPOINT_URL=endpoint, AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1"
)

import boto3
import lithops
from lithops.serverless.backends.aws_lambda.aws_lambda import AWSLambdaBackend

BUCKET = "lithops-python"
WORKERS = 10


class Session:
    """Sends to the emulator what is addressed to AWS."""

    def __init__(self, session):
        self.session = session

    def send(self, request):
        request.url = endpoint + "/" + request.url.split("/", 3)[3]
        return self.session.send(request)


def connect(backend, *arguments, **options):
    original(backend, *arguments, **options)
    backend.session = Session(backend.session)


def empty_layer(backend, runtime):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("python/empty.txt", "")
    version = backend.lambda_client.publish_layer_version(
        LayerName=backend._format_layer_name(runtime), Content={"ZipFile": archive.getvalue()}
    )
    return version["LayerVersionArn"]


original = AWSLambdaBackend.__init__
AWSLambdaBackend.__init__ = connect
AWSLambdaBackend._create_layer = empty_layer


def add(x):
    return x + 7


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


packages = next(path for path in sys.path if path.endswith("site-packages"))
config = {
    "lithops": {"backend": "aws_lambda", "storage": "aws_s3", "log_level": "ERROR", "telemetry": False},
    "aws": {"region": "us-east-1", "account_id": "000000000000", "user_id": "AIDATEST"},
    "aws_s3": {"storage_bucket": BUCKET, "endpoint": endpoint},
    "aws_lambda": {
        "execution_role": "arn:aws:iam::000000000000:role/lithops",
        "max_workers": WORKERS,
        "env_vars": [
            {"name": "PYTHONPATH", "value": packages},
            {"name": "AWS_ENDPOINT_URL", "value": endpoint},
        ],
    },
}
boto3.client("s3").create_bucket(Bucket=BUCKET)
with lithops.FunctionExecutor(config=config) as executor:
    begun, used = time.perf_counter(), cpu()
    values = executor.get_result(executor.map(add, range(calls), chunksize=chunksize))
    found = {"value": time.perf_counter() - begun, "client_cpu_s": cpu() - used}
assert values == [x + 7 for x in range(calls)]
print(json.dumps(found))
