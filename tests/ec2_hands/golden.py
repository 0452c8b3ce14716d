"""Compares requests to EC2 with those of botocore.

Standard input is what `/_hands/requests` says; arguments are the access key and its secret, which are made up. Each
request is read by botocore's model of the API, which must know every parameter, and written again by botocore: the form
must be the same. The signature must be the one that botocore makes at the same time. User data holds neither key.
"""

import base64
import datetime
import json
import sys
import urllib.parse

import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def parameters(shape, form, name):
    """The parameters below a name, as botocore's clients are given them; takes them out of the form."""
    if shape.type_name == "structure":
        found = {}
        for member, inner in shape.members.items():
            own = inner.serialization.get("queryName")
            if own is None and "name" in inner.serialization:
                own = inner.serialization["name"][0].upper() + inner.serialization["name"][1:]
            value = parameters(inner, form, ".".join(filter(None, [name, own or member])))
            if value is not None:
                found[member] = value
        return found or None
    if shape.type_name == "list":
        found = []
        while (value := parameters(shape.member, form, f"{name}.{len(found) + 1}")) is not None:
            found.append(value)
        return found or None
    value = form.pop(name, None)
    if value is None:
        return None
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name == "boolean":
        return {"true": True, "false": False}[value]
    return value


def body_differs(client, action, body):
    """What is wrong with a form; None when it is botocore's own."""
    ours = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
    rest = dict(ours)
    del rest["Action"], rest["Version"]
    operation = client.meta.service_model.operation_model(action)
    given = parameters(operation.input_shape, rest, "") or {}
    if rest:
        return f"parameters that EC2 does not have: {sorted(rest)}"
    theirs = client._serializer.serialize_to_request(given, operation)["body"]
    theirs = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in theirs.items()}
    different = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    return f"differs in {sorted(different)}" if different else None


def told_secret(body, secrets):
    """What is wrong with the user data of a request; None when nothing secret is in it."""
    form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
    data = base64.b64decode(form.get("LaunchTemplateData.UserData", ""))
    return "has a secret in its user data" if any(secret.encode() in data for secret in secrets) else None


def signature_differs(request, credentials):
    """What is wrong with a signature; None when it is botocore's own."""
    headers = dict(request["headers"])
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    url = f"http://{headers['host']}/"
    again = AWSRequest("POST", url, headers={name: headers[name] for name in signed}, data=request["body"].encode())
    again.context["timestamp"] = headers["x-amz-date"]
    signer = botocore.auth.SigV4Auth(credentials, "ec2", "us-east-1")
    canonical = signer.canonical_request(again)
    signature = signer.signature(signer.string_to_sign(again, canonical), again)
    return None if f"Signature={signature}" in headers["authorization"] else "has another signature"


def main():
    key, secret = sys.argv[1:]
    credentials = Credentials(key, secret)
    client = botocore.session.get_session().create_client(
        "ec2", region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )
    problems, actions = [], set()
    for request in json.load(sys.stdin):
        action = request["action"]
        if not action or action == "GetCallerIdentity" or key not in dict(request["headers"])["authorization"]:
            continue
        actions.add(action)
        body = request["body"]
        checks = body_differs(client, action, body), signature_differs(request, credentials), told_secret(body, (key, secret))
        for problem in checks:
            if problem:
                problems.append(f"{action} {problem}")
    for problem in sorted(set(problems)):
        print(problem, file=sys.stderr)
    print(" ".join(sorted(actions)))
    sys.exit(1 if problems else 0)


main()
