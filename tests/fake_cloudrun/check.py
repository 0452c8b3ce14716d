"""Google's own client of Cloud Run agrees with the fake: it creates, gets, lists, changes and deletes services.

usage: check.py ENDPOINT
"""

import sys

from google.api_core import exceptions
from google.cloud import run_v2
from google.oauth2.credentials import Credentials
from google.protobuf import field_mask_pb2

endpoint = sys.argv[1]
parent = "projects/lithops-test/locations/us-east1"
client = run_v2.ServicesClient(
    credentials=Credentials("ya29.access-token-of-tests"),
    transport="rest",
    client_options={"api_endpoint": endpoint},
)
service = run_v2.Service(
    template=run_v2.RevisionTemplate(
        max_instance_request_concurrency=1,
        scaling=run_v2.RevisionScaling(max_instance_count=3),
        containers=[run_v2.Container(image="127.0.0.1/none@sha256:00")],
    ),
    annotations={"lithops.digest": "1"},
)
request = run_v2.CreateServiceRequest(parent=parent, service=service, service_id="check-1")
created = client.create_service(request=request).result(timeout=30)
assert created.name == f"{parent}/services/check-1", created
# No such image was pushed: the client reads why.
assert created.terminal_condition.state == run_v2.Condition.State.CONDITION_FAILED, created
assert "not found" in created.terminal_condition.message, created
try:
    client.create_service(request=request)
    raise AssertionError("a name was taken twice")
except exceptions.Conflict:
    pass
found = client.get_service(name=created.name)
assert found.template.scaling.max_instance_count == 3 and found.annotations["lithops.digest"] == "1", found
assert [one.name for one in client.list_services(parent=parent)].count(created.name) == 1
found.template.scaling.max_instance_count = 7
mask = field_mask_pb2.FieldMask(paths=["template.scaling"])
changed = client.update_service(
    request=run_v2.UpdateServiceRequest(service=found, update_mask=mask)
).result(timeout=30)
assert changed.template.scaling.max_instance_count == 7, changed
client.delete_service(name=created.name).result(timeout=30)
try:
    client.get_service(name=created.name)
    raise AssertionError("it was deleted")
except exceptions.NotFound:
    pass
for broken in [run_v2.Service(), run_v2.Service(template=run_v2.RevisionTemplate(containers=[run_v2.Container()]))]:
    try:
        client.create_service(parent=parent, service=broken, service_id="check-2")
        raise AssertionError("a service without an image was taken")
    except exceptions.BadRequest:
        pass
