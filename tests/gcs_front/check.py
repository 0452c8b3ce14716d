"""Google's own client of Cloud Storage and this project, each reading what the other has written.

usage: check.py ENDPOINT BUCKET KEY_FILE LITHOPS CONFIG
"""

import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage import transfer_manager
from google.oauth2 import service_account

endpoint, bucket_name, key_file, lithops, config = sys.argv[1:]
SCOPE = ["https://www.googleapis.com/auth/devstorage.full_control"]
credentials = service_account.Credentials.from_service_account_file(key_file, scopes=SCOPE)
# A token that the key itself signs, so that no token service is asked.
credentials = credentials.with_always_use_jwt_access(True)
client = storage.Client(
    project="lithops-test", credentials=credentials, client_options={"api_endpoint": endpoint}
)
bucket = client.bucket(bucket_name)
folder = tempfile.mkdtemp()


def run(*arguments):
    command = [lithops, "storage", *arguments, "--config", config]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def write(name, content):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(content)
    return path


small = b"a small object, \xff\x00"
large = bytes(number % 251 for number in range(23 * 1024 * 1024 + 7))

# We write, Google's client reads: one request, and an upload in parts.
for name, content in [("small.bin", small), ("large.bin", large), ("empty.bin", b"")]:
    write(name, content)
    run("put", name, bucket_name, "--key", f"check/ours/{name} ü+&<")
    blob = bucket.get_blob(f"check/ours/{name} ü+&<")
    assert blob is not None and blob.size == len(content), name
    assert blob.download_as_bytes(checksum="crc32c") == content, name

# Google's client writes, we read: JSON, and the XML upload in parts.
bucket.blob("check/theirs/small.bin").upload_from_string(small)
path = write("theirs.bin", large)
transfer_manager.upload_chunks_concurrently(
    path,
    bucket.blob("check/theirs/large.bin"),
    chunk_size=5 * 1024 * 1024,
    worker_type=transfer_manager.THREAD,
    max_workers=4,
)
for name, content in [("small.bin", small), ("large.bin", large)]:
    run("get", bucket_name, f"check/theirs/{name}", "--out", "down.bin")
    with open(os.path.join(folder, "down.bin"), "rb") as file:
        assert file.read() == content, name

# What is there for us is there for Google's client.
try:
    bucket.blob("check/theirs/small.bin").upload_from_string(b"again", if_generation_match=0)
    raise AssertionError("an object was replaced that must not be")
except exceptions.PreconditionFailed:
    pass
listed = [blob.name for blob in client.list_blobs(bucket_name, prefix="check/")]
ours = run("list", bucket_name, "--prefix", "check/", "--json")
assert len(listed) == 5 and all(name.split("/")[-1].split(" ")[0] in ours for name in listed), listed
run("delete", bucket_name, "--prefix", "check/")
assert not list(client.list_blobs(bucket_name, prefix="check/"))

# A request that nothing has signed is refused, in JSON as in XML.
for path in [f"/storage/v1/b/{bucket_name}/o", f"/{bucket_name}?list-type=2"]:
    try:
        urllib.request.urlopen(endpoint + path)
        raise AssertionError("a request that nothing has signed was answered")
    except urllib.error.HTTPError as refused:
        assert refused.code == 401, refused
