"""Do openapi.json and the server agree?

    python3 openapi_check.py url=http://127.0.0.1:PORT seen=FILE [name=key …] part

The parts:

    document   its structure and layout, routes, parameters and their bounds, examples
    unlinked   a witness where nothing was linked
    walk       all operations, asked for well and badly
    each       one good request of each operation; the server's state is the caller's doing
    complete   whether all that is described was seen, by all parts that had the same file

A key is given by the name of what it may: operator, viewer, narrow (for the tenant
acme only).  Prints a line for each check: "ok <what>" or "not ok <what>", with
lines of "# why" behind it.  Needs jsonschema, else only the standard library.
"""

import http.client
import json
import os
import re
import sys
import urllib.parse
import urllib.request
import uuid

import jsonschema

from layout import layout
from structure import DOCUMENT

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src")
METHODS = ("get", "post", "delete")
# Headers that are only there where the document says so.
OURS = re.compile(r"^(acteon-.*|idempotency-replayed|retry-after|www-authenticate|allow|link)$")
RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
DURATION = re.compile(r"^P(?=.)(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$")

formats = jsonschema.FormatChecker(formats=())
formats.checks("date-time")(lambda value: not isinstance(value, str) or RFC3339.match(value) is not None)
formats.checks("duration")(lambda value: not isinstance(value, str) or DURATION.match(value) is not None)

options = dict(argument.split("=", 1) for argument in sys.argv[1:-1])
with urllib.request.urlopen(options["url"] + "/openapi.json", timeout=120) as answer:
    text = answer.read().decode()
document = json.loads(text)
seen = set()


def check(good, what, *why):
    print(("ok " if good else "not ok ") + what)
    if not good:
        print("".join("# %s\n" % line for reason in why for line in str(reason).split("\n")), end="")
    return good


def read_source(name):
    with open(os.path.join(SOURCES, name), encoding="utf-8") as file:
        return file.read()


def resolve(node):
    """The node with what its references refer to in their place."""
    if isinstance(node, list):
        return [resolve(member) for member in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = document
        for name in node["$ref"].split("/")[1:]:
            target = target[name]
        return resolve(target)
    return {name: resolve(member) for name, member in node.items()}


def close(node):
    """The schema, so that members which are not described are errors."""
    if isinstance(node, list):
        return [close(member) for member in node]
    if not isinstance(node, dict):
        return node
    closed = {name: close(member) for name, member in node.items()}
    if isinstance(node.get("properties"), dict) and "additionalProperties" not in node:
        closed["additionalProperties"] = False
    return closed


def faults(value, schema):
    """What is wrong with a value; nothing if it is valid."""
    validator = jsonschema.Draft202012Validator(close(resolve(schema)), format_checker=formats)
    return ["/".join(map(str, error.absolute_path)) + ": " + error.message[:300] for error in validator.iter_errors(value)]


def operations():
    """(operation id, method, path, operation, its parameters by name)."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                operation = resolve(item[method])
                parameters = resolve(item.get("parameters", [])) + operation.get("parameters", [])
                yield operation["operationId"], method.upper(), path, operation, {p["name"]: p for p in parameters}


OPERATIONS = {found[0]: found for found in operations()}


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def error(self):
        return self.json().get("error", "") if self.status >= 400 else ""


def ask(method, target, key=None, headers=None, body=None):
    """Make a request; the target goes out as it is."""
    location = urllib.parse.urlsplit(options["url"])
    connection = http.client.HTTPConnection(location.hostname, location.port, timeout=120)
    headers = dict(headers or {})
    if key is not None:
        headers["Authorization"] = "Bearer " + key
    connection.putrequest(method, target, skip_accept_encoding=True)
    if method in ("POST", "DELETE") and "Content-Length" not in headers:
        headers["Content-Length"] = str(len(body or ""))
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    if body:
        connection.send(body.encode())
    try:
        return Answer(connection.getresponse())
    finally:
        connection.close()


def target_of(operation_id, query="", **names):
    path = OPERATIONS[operation_id][2]
    names = {"action_id": "nobody-knows-me", "batch_id": "1", **names}
    path = re.sub(r"\{(\w+)\}", lambda found: urllib.parse.quote(names[found.group(1)], safe=""), path)
    return path + ("?" + query if query else "")


# What operations need, so that they do nothing that matters.
HARMLESS = {
    "replay_audit": {"matched_rule": "never"},
    "replay_all": {"matched_rule": "never"},
    "set_rate": {"rate": "0.01"},
    "set_start": {"start_at": "2999-01-01T00:00:00Z"},
    "settle_batch": {"decision": "cancel", "reason": "walk"},
    "approve_batch": {"plan": "0123456789abcdef"},
    "hand_over_batch": {"role": "operator"},
    "patch_batch": {"patch": "%7B%22walked%22%3A+true%7D"},
    "redrive": {"batch_id": "1"},
    "set_limit": {"provider": "walked", "rate": "1000"},
    "remove_limit": {"provider": "walked"},
    "verify_audit_chain": {"namespace": "prod", "tenant": "acme"},
}
# What is asked for with POST and reads only.
READING = {"verify_audit_chain", "verify_trail"}
# What cannot be given alone.
COMPANIONS = {"sample": "dry_run=true", "ramp": "rate=1", "certain": "lost=true", "patch_path": "patch_value=1", "patch_value": "patch_path=$.a",
              "after_sequence": "after_hash=x"}
# What they say of the first batch, which is a bulk replay, and runs.
REFUSED = {"approve_batch": 422, "continue_batch": 422}


def harmless(operation_id, without=None):
    """A query with which nothing is replayed, without a parameter and those that exclude it."""
    return "&".join(name + "=" + value for name, value in HARMLESS.get(operation_id, {}).items()
                    if name != without and not (name == "patch" and (without or "").startswith("patch_")))


def check_headers(answer, described):
    wrong = ["header %s is not described" % name for name in answer.headers
             if OURS.match(name) and name not in {h.lower() for h in described}]
    for name, header in described.items():
        value = answer.headers.get(name.lower())
        if value is None:
            if header.get("required"):
                wrong.append("header %s is missing" % name)
        else:
            wrong += ["header %s: %s" % (name, fault) for fault in faults(value, header["schema"])]
    return wrong


def check_response(answer, response, has_body=True):
    """What of an answer is not as a response says."""
    response = resolve(response)
    wrong = check_headers(answer, response.get("headers", {}))
    if "content" not in response:
        return wrong + (["there is a body"] if answer.body else [])
    media_type = answer.headers.get("content-type", "").split(";")[0]
    content = response.get("content", {}).get(media_type)
    if content is None:
        return wrong + ["content type %s is not described" % media_type]
    if has_body:
        value = answer.json() if media_type == "application/json" else answer.body.decode()
        wrong += faults(value, content["schema"])
    return wrong


def described(operation_id, what, expected, query="", method=None, **request):
    """Check that the answer to a request has the expected status and is as described."""
    names = {name: request.pop(name) for name in ("action_id", "batch_id") if name in request}
    _, usual, _, operation, _ = OPERATIONS[operation_id]
    answer = ask(method or usual, target_of(operation_id, query, **names), **request)
    status = str(answer.status)
    seen.add(operation_id + " " + status)
    if status not in operation["responses"]:
        wrong = ["status %s is not described: %s" % (status, answer.body[:300])]
    else:
        wrong = check_response(answer, operation["responses"][status], has_body=method != "HEAD")
    if expected is not None and answer.status != expected:
        wrong.append("status %s, not %s: %s" % (status, expected, answer.body[:300]))
    check(not wrong, "%s: %s: %s" % (operation_id, what, status), *wrong)
    return answer


# ---- the document ----

def check_structure():
    problems = [str(error.absolute_path) + ": " + error.message[:300]
                for error in jsonschema.Draft202012Validator(DOCUMENT).iter_errors(document)]
    check(not problems, "the document is an OpenAPI 3.1 document", *problems)
    source = read_source("programs/http/openapi.json")
    check(source == layout(json.loads(source)) + "\n", "openapi.json is laid out by layout.py")
    check('"@' not in text, "nothing is left to be filled in")
    shared = [path for path, item in document["paths"].items() if "parameters" in item]
    check(not shared, "all parameters stand in the operations", shared)
    references = set(re.findall(r'"\$ref": "#/components/(\w+/[^"]+)"', text))
    defined = {kind + "/" + name for kind, members in document["components"].items() for name in members}
    check(references <= defined, "what it refers to is there", sorted(references - defined))
    # These answer for methods and paths that no operation has.
    unused = {name for name in defined - references
              if not name.startswith("securitySchemes/") and name not in ("responses/MethodNotAllowed", "responses/NotImplemented")}
    check(not unused, "what is there is referred to", sorted(unused))
    ids = [found[0] for found in operations()]
    check(len(ids) == len(set(ids)), "operation ids are unique", ids)
    schemes = document["components"]["securitySchemes"]
    used = {name for requirement in document["security"] for name in requirement}
    check(used == set(schemes), "the security schemes are those that there are", used)
    tags = {tag for found in operations() for tag in found[3]["tags"]}
    check(tags == {tag["name"] for tag in document["tags"]}, "… and the tags", tags)
    for operation_id, _, path, _, parameters in operations():
        in_path = {name for name, parameter in parameters.items() if parameter["in"] == "path"}
        check(in_path == set(re.findall(r"\{(\w+)\}", path)), operation_id + ": names in the path are parameters")
    version = ask("GET", "/health").json()["version"]
    check(document["info"]["version"] == version, "its version is the server's", version)


def check_routes():
    routes = {(method, path) for method, path in re.findall(r'\{"(GET|POST|DELETE)", "(/[^"]*)"', read_source("programs/http/routes.c"))}
    ours = {(method, re.sub(r"\{\w+\}", "*", path)) for _, method, path, _, _ in operations()}
    check(len(routes) >= 10 and routes == ours, "the paths are the server's routes", "only in routes.c: %s" % sorted(routes - ours),
          "only in the document: %s" % sorted(ours - routes))


def options_of_table():
    """Names over HTTP of the options in the table, but for those that only queries have."""
    rows = re.findall(r"^(FILTER|OPTION|PARAMETER)\((.*)$", read_source("query/options.def"), re.MULTILINE)
    keys = {row.split(", ")[{"FILTER": 1, "OPTION": 3, "PARAMETER": 2}[kind]].strip('",') for kind, row in rows if not row.endswith(" CALL_QUERY,")}
    return keys - {"NULL"}


def check_parameters():
    """A value that is no UTF-8 is refused where the parameter is looked at."""
    known = options_of_table()
    ours = {name for found in operations() for name, parameter in found[4].items() if parameter["in"] == "query"}
    check(len(known) > 30 and known == ours, "the parameters are the server's", known ^ ours)
    for operation_id, method, _, _, parameters in operations():
        wrong = []
        for name in sorted(known | ours | {"frobnicate"}):
            query = "&".join(filter(None, [harmless(operation_id, name), name + "=%FF"]))
            error = ask(method, target_of(operation_id, query), options["operator"]).error() if "/v1/" in target_of(operation_id) else ""
            looked_at = error == name + " is not text in UTF-8"
            if looked_at != (parameters.get(name, {}).get("in") == "query"):
                wrong.append("%s is%s looked at: %s" % (name, "" if looked_at else " not", error))
        check(not wrong, operation_id + ": it takes the parameters that are described, and refuses others", *wrong)


def described_as(parameter):
    """What has the schema of a parameter: itself, or its content if that is JSON."""
    return parameter["content"]["application/json"] if "content" in parameter else parameter


def values_of(name, parameter):
    """Values that a parameter allows, and such that it does not."""
    schema = described_as(parameter)["schema"]
    good, bad = [], []
    if "content" in parameter:
        good += [urllib.parse.quote(json.dumps(described_as(parameter)["example"]))]
        (good if schema == {} else bad).append("null")
        bad += ["", "%7B", "x", "7,8"]
    elif name == "payload_path":
        good += ["$", "$.a", "$.a+?+(@+%3D%3D+7)"]
        bad += ["", "x", "$[", "$x"]
    elif name == "patch_path":
        good += ["$.a", "$.a[*]+?+(@.b+%3D%3D+7).c"]
        bad += ["", "x", "$", "$x", "$.a.size()"]
    elif name == "rate" and schema["type"] == "string":
        good += ["none", "0.5", "0.001"]
        bad += ["", "x", "0", "-1", "NaN", "1e400"]
    elif "enum" in schema:
        good += schema["enum"]
        bad += ["neither"]
    elif "enum" in schema.get("items", {}):
        good += schema["items"]["enum"] + [",".join(schema["items"]["enum"])]
        bad += ["neither", "", ",", schema["items"]["enum"][0] + ","]
    elif "const" in schema:
        good += [json.dumps(schema["const"])]
        bad += ["true", "perhaps", ""]
    elif schema["type"] == "boolean":
        good += ["true", "false"]
        bad += ["perhaps", ""]
    elif schema["type"] in ("integer", "number"):
        bad += ["many", "", "1e", "1e400", "1e-400", "+5", "%2B5", "%20", "-99999999999999999999"] + (["1.5", "99999999999999999999"] if schema["type"] == "integer" else [])
        step = 1 if schema["type"] == "integer" else 0.0001
        if schema.get("format") == "int64":
            good.append(str(schema.get("maximum", 9223372036854775807)))
            bad.append(str(schema.get("maximum", 9223372036854775807) + 1))
        if "minimum" in schema:
            good += [schema["minimum"], "%se0" % schema["minimum"], "%sE+0" % schema["minimum"]]
            bad.append(schema["minimum"] - step)
        if "maximum" in schema:
            good.append(schema["maximum"])
            bad.append(schema["maximum"] + step)
        if "exclusiveMaximum" in schema:
            good.append(schema["exclusiveMaximum"] - step)
            bad.append(schema["exclusiveMaximum"])
    elif schema["type"] == "array":
        good += ["a", "a,b", "a,+b", "[]", urllib.parse.quote('["a,b", ""]')]
        bad += ["", "a,,b", ",", "[a]", "[1]", "[null]", "[", urllib.parse.quote('{"a": 1}') + ","]
        if "minItems" in schema:
            good.remove("[]")
            bad.append("[]")
    elif schema.get("format") == "date-time":
        good += ["2026-01-15T12:00:00Z", "2026-01-15T13:00:00.5+01:00", "2026-01-15T13:00:00%2B01:00", "2026-01-15T13:00:00+0100"]
        bad += ["yesterday", "2026-01-15", "2026-01-15T12:00:00"]
    elif "minLength" in schema:
        good += ["x"] if name != "cursor" else []
        bad += [""]
    return [str(value).replace(" ", "%20") for value in good], [str(value).replace(" ", "%20") for value in bad]


def check_bounds():
    for operation_id, method, _, _, parameters in operations():
        wrong = []
        for name, parameter in parameters.items():
            # Nothing is before 1 and after 1,000: it is clamped, as in the gateway.
            if parameter["in"] != "query":
                continue
            good, bad = values_of(name, parameter)
            if name == "limit":
                good, bad = good + ["0", "1001", "2147483648", "99999999999999999999", "%2B5", "1e1", "1e+1", "2.0"], ["many", "", "1.5", "1e-1", "-7", "-0", "+5", "%20"]
            for value, allowed in [(value, True) for value in good] + [(value, False) for value in bad]:
                query = "&".join(filter(None, [harmless(operation_id, name), name + "=" + value, COMPANIONS.get(name, "")]))
                answer = ask(method, target_of(operation_id, query), options["operator"])
                if (answer.status != 400) != allowed:
                    wrong.append("%s=%s: %s %s" % (name, value, answer.status, answer.error()))
        check(not wrong, operation_id + ": it takes the values that are described, and refuses others", *wrong)


def check_defaults():
    """With its defaults a query is what it is without them."""
    parameters = OPERATIONS["replay_audit"][4]
    defaults = {name: json.dumps(parameter["schema"]["default"]).strip('"') for name, parameter in parameters.items()
                if "default" in parameter.get("schema", {}) and name != "dry_run"}

    def preview(**query):
        answer = ask("POST", "/v1/audit/replay?" + urllib.parse.urlencode({"dry_run": "true", "to": "2026-02-01T00:00:00Z", **query}), options["operator"])
        return {name: value for name, value in answer.json().items() if name != "plan"}  # which says when it was made

    plain, explicit = preview(), preview(**defaults)
    check(len(defaults) > 10 and "query" in plain and plain == explicit, "the defaults of a bulk replay are the server's",
          json.dumps(plain)[:1000], json.dumps(explicit)[:1000])
    check(plain["query"]["limit"] == parameters["limit"]["schema"]["default"] and len(plain["sample"]) == parameters["sample"]["schema"]["default"],
          "… to the number of records and samples", plain)


def check_examples():
    for operation_id, _, _, operation, parameters in operations():
        wrong = ["%s: %s" % (name, fault) for name, parameter in parameters.items() if "example" in described_as(parameter)
                 for fault in faults(described_as(parameter)["example"], described_as(parameter)["schema"])]
        bodies = {"requestBody": operation["requestBody"]} if "requestBody" in operation else {}
        for status, response in {**bodies, **operation["responses"]}.items():
            for header in response.get("headers", {}).values():
                wrong += faults(header["example"], header["schema"]) if "example" in header else []
            for content in response.get("content", {}).values():
                examples = [content["example"]] if "example" in content else [e["value"] for e in content.get("examples", {}).values()]
                if not examples and operation_id not in ("openapi", "page"):
                    wrong.append("%s: there is no example" % status)
                wrong += ["%s: %s" % (status, fault) for example in examples for fault in faults(example, content["schema"])]
        check(not wrong, operation_id + ": the examples are valid", *wrong)


# ---- the walk ----

def walk_all():
    """What any operation may be asked."""
    for operation_id, method, path, operation, parameters in operations():
        good = {"query": harmless(operation_id), "key": options["operator"]}
        is_open = operation.get("security") == []
        usual = 404 if "{action_id}" in path and operation_id != "list_lineage" else REFUSED.get(operation_id, 200)
        described(operation_id, "operator", usual, **good)
        described(operation_id, "key in X-API-Key", usual, query=good["query"], headers={"X-API-Key": options["operator"]})
        described(operation_id, "no key", 200 if is_open else 401, query=good["query"])
        described(operation_id, "unknown key", 200 if is_open else 401, query=good["query"], key="acteon_nobody")
        described(operation_id, "viewer", None if method == "GET" or operation_id in READING else 403, query=good["query"], key=options["viewer"])
        described(operation_id, "body that says nothing", usual, body='{}', **good)
        said = usual if method == "GET" else 400
        described(operation_id, "body that says something", said, body='{"tenant": "x"}', **good)
        described(operation_id, "body that is too large", 413, headers={"Content-Length": str(1 << 30)}, **good)
        described(operation_id, "unknown parameter", 400, query="&".join(filter(None, [good["query"], "x=y"])), key=options["operator"])
        if method == "GET":
            described(operation_id, "HEAD", usual, method="HEAD", **good)
        if parameters.get("reason") or parameters.get("before"):
            described(operation_id, "parameter twice", 400, query="reason=a&reason=b&before=1&before=2", key=options["operator"])
            described(operation_id, "parameter twice, no key", 401, query="reason=a&reason=b&before=1&before=2")
        if "{batch_id}" in path:
            described(operation_id, "no such batch", 404, batch_id="999999", **good)
            described(operation_id, "a batch of others", 404 if method == "GET" else 403, query=good["query"], batch_id="1", key=options["narrow"])
        if "Idempotency-Key" in parameters:
            described(operation_id, "empty Idempotency-Key", 400, headers={"Idempotency-Key": '""'}, **good)
            described(operation_id, "Idempotency-Key that is too long", 400, headers={"Idempotency-Key": "x" * 256}, **good)
        for other in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - {found.upper() for found in document["paths"][path]}:
            answer = ask(other, target_of(operation_id), options["operator"])
            wrong = check_response(answer, document["components"]["responses"]["MethodNotAllowed"])
            check(answer.status == 405 and not wrong, "%s: %s: 405" % (operation_id, other), answer.status, *wrong)
    for path in ("/nothing", "/v1", "/v1/audit/", "/v1/audits", "/v1/replay/batches/x", "/v1/replay/batches/1/destroy", "/health/x"):
        answer = ask("POST", path, options["operator"])
        wrong = check_response(answer, document["components"]["responses"]["NotFound"])
        check(answer.status == 404 and not wrong, "%s: 404" % path, answer.status, *wrong)
    for path in ("/v1/dispatch", "/v1/dispatch/batch", "/v1/rules/reload", "/v1/approvals/7"):
        answer = ask("POST", path)
        wrong = check_response(answer, document["components"]["responses"]["NotImplemented"])
        check(answer.status == 501 and not wrong, "%s: 501" % path, answer.status, *wrong)


def walk_page():
    tag = described("page", "the page", 200).headers["etag"]
    described("page", "it is there already", 304, headers={"If-None-Match": '"other", ' + tag})
    described("page", "any is there", 304, headers={"If-None-Match": "*"})
    described("page", "another one is there", 200, headers={"If-None-Match": '"other"'})


def walk_replays():
    operator = options["operator"]
    described("replay_action", "a record", 200, action_id="walk/1 é", query="reason=walk", key=operator)
    described("replay_action", "wait", 200, action_id="walk-2", query="wait=30", key=operator)
    described("replay_action", "wait, and it fails", 200, action_id="walk-failing", query="wait=30", key=operator)
    described("replay_action", "wait, and it is refused", 200, action_id="walk-refused", query="wait=30", key=operator)
    described("replay_action", "no payload", 422, action_id="walk-private", key=operator)
    described("replay_action", "redacted", 422, action_id="walk-redacted", key=operator)
    described("replay_action", "dry_run", 400, action_id="walk-1", query="dry_run=true", key=operator)
    described("replay_action", "no grant", 403, action_id="walk-2", key=options["narrow"])
    described("replay_audit", "dry_run", 200, query="provider=email&dry_run=true&rate=7.5&limit=1000&outcome=failed", key=operator)
    described("replay_audit", "dry_run of hand-picked ids", 200, query="dry_run=true&action_ids=walk-1,nobody-knows-me&exclude_ids=walk-2", key=operator)
    described("replay_audit", "dry_run with a patch", 200, query="provider=email&dry_run=true&patch=%7B%22template%22%3A+%22t-42%22%7D", key=operator)
    described("replay_audit", "a target that is not allowed", 403, query="provider=email&target=staging", key=operator)
    described("replay_audit", "a patch without a grant for it", 403, query="provider=email&patch=%7B%22a%22%3A+1%7D", key=options["narrow"])
    described("replay_audit", "dry_run with a path", 200, query="provider=email&dry_run=true&patch_path=$.template&patch_value=null", key=operator)
    described("replay_audit", "a path to something else", 400, query="provider=email&dry_run=true&patch_path=$.template.size()&patch_value=1", key=operator)
    for query in ("", "lost=true", "outcome=failed&provider=email&max_causes=1", "action_ids=walk-1&exclude_ids=x"):
        described("list_causes", "causes " + query, 200, query=query, key=operator)
    for query in ("", "lost=true&buckets=2", "tenant=nobody", "tenant=nobody&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"):
        described("get_timeline", "timeline " + query, 200, query=query, key=operator)
    described("get_timeline", "no grants", 403, query="lost=true", key=options["stranger"])
    described("get_timeline", "a mistyped filter", 400, query="tennant=acme", key=operator)
    described("list_causes", "no grants", 403, query="lost=true", key=options["stranger"])
    described("list_causes", "a mistyped filter", 400, query="tennant=acme", key=operator)
    described("replay_audit", "dry_run of nothing", 200, query="provider=nobody&dry_run=true", key=operator)
    page = described("replay_audit", "a page", 200, query="provider=email&outcome=failed&limit=3", key=operator)
    cursor = page.headers.get("acteon-next-cursor", "")
    check(cursor != "" and page.headers.get("acteon-batch-id", "") != "", "a page has a cursor and a batch")
    described("replay_audit", "the next page", 200, query="provider=email&outcome=failed&limit=3&cursor=" + cursor, key=operator)
    described("replay_audit", "a cursor of another query", 400, query="provider=slack&cursor=" + cursor, key=operator)
    described("replay_audit", "wait, with all kinds of ends", 200, query="provider=odd&wait=30&include_replayed=true", key=operator)
    described("replay_audit", "failures", 200, query="provider=odd&include_replayed=true", key=operator)
    described("replay_audit", "some are skipped", 200, query="outcome=failed&include_replayed=true&limit=5", key=options["narrow"])


def walk_records():
    operator = options["operator"]
    for action_id in ("walk-1", "walk/1 é", "walk-private", "walk-redacted"):
        described("get_audit_record", action_id, 200, action_id=action_id, key=operator)
    described("get_audit_record", "as viewer", 200, action_id="walk/1 é", key=options["viewer"])
    described("get_audit_record", "of others, as viewer", 403, action_id="walk-1", key=options["viewer"])
    described("get_audit_record", "no text", 400, action_id=b"\xff", key=operator)
    described("get_audit_record", "no grants", 403, action_id="walk-1", key=options["stranger"])
    page = described("query_audit", "a page", 200, query="provider=email&outcome=failed&outcome=executed&limit=2&offset=1&from=2000-01-01T00:00:00%2B01:00", key=operator)
    cursor = page.json()["next_cursor"]
    check(page.headers.get("acteon-next-cursor") == cursor, "the header has the cursor, too")
    described("query_audit", "the next page", 200, query="provider=email&outcome=failed&outcome=executed&limit=2&cursor=" + cursor, key=operator)
    for query, status in (("limit=0", 200), ("limit=5000", 200), ("limit=-1", 400), ("offset=-1", 400), ("offset=x", 400), ("from=yesterday", 400), ("cursor=garbage", 400),
                          ("tenant=nobody", 200), ("outcome=", 200), ("caller_id=x&chain_id=x&signer_id=x&kid=x&verdict=x&matched_rule=x&namespace=x&action_type=x", 200)):
        described("query_audit", query, status, query=query, key=operator)
    described("query_audit", "a tenant of others", 403, query="tenant=nobody", key=options["narrow"])
    described("query_audit", "as narrow", 200, key=options["narrow"])
    described("query_audit", "no grants", 403, key=options["stranger"])


def walk_unlinked():
    described("get_witness", "there are no links", 422, key=options["operator"])


def walk_verification():
    operator, limit = options["operator"], "namespace=prod&tenant=acme&limit="
    described("verify_audit_chain", "parameters in the body", 200, body='{"namespace": "prod", "tenant": "acme", "from": null, "limit": 3}', key=operator)
    described("verify_audit_chain", "a part", 200, query=limit + "1", key=operator)
    described("verify_audit_chain", "of the tenant, as viewer", 200, query=limit + "0", key=options["viewer"])
    described("verify_audit_chain", "some providers are not covered", 403, query=limit + "1", key=options["narrow"])
    described("verify_audit_chain", "no tenant", 400, query="namespace=prod", key=operator)
    described("verify_audit_chain", "a hash alone", 400, query=limit + "1&after_hash=x", key=operator)
    witness = described("get_witness", "there are links", 200, key=operator).json()["witness"]
    described("get_witness", "not for everything", 403, key=options["viewer"])
    described("verify_trail", "with a witness", 200, query="witness=" + urllib.parse.quote(witness), key=operator)
    described("verify_trail", "with a witness in the body", 200, body=json.dumps({"witness": witness + "\n"}), key=operator)
    described("verify_trail", "no witness", 400, query="witness=x", key=operator)
    described("verify_trail", "not for everything", 403, key=options["viewer"])


def walk_batches():
    operator = options["operator"]
    batch = described("replay_audit", "a batch to steer", 200, query="provider=email&outcome=failed&limit=20&rate=0.01", key=operator).headers["acteon-batch-id"]
    described("get_batch", "it runs", 200, batch_id=batch, key=operator)
    described("pause_batch", "pause", 200, batch_id=batch, query="reason=walk", key=operator)
    described("pause_batch", "pause again", 200, batch_id=batch, key=operator)
    described("get_batch", "it is paused", 200, batch_id=batch, key=operator)
    described("get_batch", "a part of it", 200, batch_id=batch, key=options["narrow"])
    described("resume_batch", "resume", 200, batch_id=batch, key=operator)
    described("cancel_batch", "cancel", 200, batch_id=batch, key=operator)
    described("pause_batch", "it is cancelled", 422, batch_id=batch, key=operator)
    described("resume_batch", "it is cancelled", 422, batch_id=batch, key=operator)
    for query in ("limit=2", "format=jsonl&limit=2", "format=csv", "state=refused", "tenant=acme&effect=done"):
        for key in ("operator", "narrow"):
            described("list_items", query + " as " + key, 200, batch_id=batch, query=query, key=options[key])
    described("list_items", "no cursor", 400, batch_id=batch, query="cursor=x", key=operator)
    described("list_items", "a batch that is not there", 404, batch_id="999999", key=operator)
    described("approve_batch", "a second person", 200, batch_id=options["awaiting"], query="plan=" + options["plan"], key=operator)
    described("continue_batch", "a chunk", 200, batch_id=options["awaiting"], query="chunk=1&reason=walk", key=options["asker"])
    described("get_batch", "it is interrupted", 200, batch_id=options["awaiting"], key=operator)
    described("list_lineage", "a record that was replayed", 200, action_id="walk-2", key=operator)
    for operation_id in ("list_log", "list_dead_letters"):
        page = described(operation_id, "a page", 200, query="limit=1", key=operator)
        check("link" in page.headers, "… has a link", page.headers)
    described("list_batch_log", "a page", 200, batch_id=batch, query="limit=1", key=operator)
    for key in ("operator", "viewer", "narrow"):
        described("list_batches", "as " + key, 200, query="limit=1000", key=options[key])
    page = described("list_batches", "a page", 200, query="limit=2", key=operator).json()["batches"]
    described("list_batches", "the next page", 200, query="limit=2&before=%d" % page[-1]["batch_id"], key=operator)
    states = OPERATIONS["list_batches"][4]["state"]["schema"]["enum"]
    for name in ("Batch", "Steered"):
        shown = document["components"]["schemas"][name]["properties"]["state"]["enum"]
        check(shown == states, "the states of %s are those of the table of options" % name, shown, states)
    for state in states:
        answer = described("list_batches", "those that are " + state, 200, query="state=" + urllib.parse.quote(state), key=operator)
        check({found["state"] for found in answer.json()["batches"]} <= {state}, "… and no others")


def walk_idempotency():
    operator = options["operator"]
    query = "provider=email&outcome=failed&limit=2&rate=0.01"
    batch = {"batch_id": ask("POST", target_of("replay_audit", query), operator).headers["acteon-batch-id"]}
    for operation_id, names in (("replay_action", {"action_id": "walk-2"}), ("replay_audit", {"query": query}),
                                ("replay_all", {}),
                                ("set_rate", batch), ("set_start", batch), ("settle_batch", batch), ("hand_over_batch", batch), ("patch_batch", batch),
                                ("redrive", {}), ("set_limit", {}), ("remove_limit", {}), ("pause_all", {}), ("resume_all", {}), ("pause_batch", batch), ("resume_batch", batch), ("cancel_batch", batch)):
        names = {"query": harmless(operation_id), **names}
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        first = described(operation_id, "Idempotency-Key", 200, headers=headers, key=operator, **names)
        again = described(operation_id, "… again", 200, headers=headers, key=operator, **names)
        check(again.body == first.body and "idempotency-replayed" not in first.headers
              and again.headers.get("idempotency-replayed") == "true", "… gets the first answer", first.body[:300], again.body[:300])
        described(operation_id, "… for another request", 422, headers=headers, key=operator, **{**names, "query": names["query"] + ("" if "reason=" in names["query"] else "&reason=another") + "&"})


def walk_each():
    """One good request each, whatever comes of it."""
    for operation_id, _, _, operation, _ in operations():
        described(operation_id, options.get("state", "as it is"), None, query=harmless(operation_id), key=options.get("operator"))


def check_complete():
    with open(options["seen"], encoding="utf-8") as file:
        found = set(file.read().split("\n")) - {""}
    wanted = {operation_id + " " + status for operation_id, _, _, operation, _ in operations() for status in operation["responses"]}
    check(wanted <= found, "every answer that is described was seen", *sorted(wanted - found))


PARTS = {
    "document": [check_structure, check_routes, check_parameters, check_bounds, check_defaults, check_examples],
    "unlinked": [walk_unlinked],
    "walk": [walk_all, walk_page, walk_replays, walk_records, walk_verification, walk_batches, walk_idempotency],
    "each": [walk_each],
    "complete": [check_complete],
}

for part in PARTS[sys.argv[-1]]:
    part()
with open(options["seen"], "a", encoding="utf-8") as file:
    file.write("".join(line + "\n" for line in sorted(seen)))
