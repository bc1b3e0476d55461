"""What an OpenAPI 3.1 document must look like, as far as ours goes: a JSON Schema
of the objects of the specification that we use, each closed, so that a misspelt
field is found."""


def closed(required, /, **properties):
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def either(one):
    """An object of this kind, or a reference to one."""
    return {"if": {"required": ["$ref"]}, "then": {"$ref": "#/$defs/reference"}, "else": {"$ref": "#/$defs/" + one}}


def map_of(one, names=r"^[A-Za-z0-9._-]+$"):
    return {"type": "object", "propertyNames": {"pattern": names}, "additionalProperties": one}


TEXT = {"type": "string", "minLength": 1}
SCHEMA = {"$ref": "https://json-schema.org/draft/2020-12/schema"}
SECURITY = {"type": "array", "items": map_of({"type": "array", "items": TEXT})}
PARAMETERS = {"type": "array", "uniqueItems": True, "items": either("parameter")}

DOCUMENT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **closed(
        "openapi info paths components",
        openapi={"type": "string", "pattern": r"^3\.1\.\d+$"},
        info=closed(
            "title version",
            title=TEXT, summary=TEXT, description=TEXT, version=TEXT,
            license=closed("name", name=TEXT, identifier=TEXT)),
        servers={"type": "array", "items": closed("url", url=TEXT, description=TEXT)},
        security=SECURITY,
        tags={"type": "array", "items": closed("name", name=TEXT, description=TEXT)},
        paths=map_of({"$ref": "#/$defs/path"}, r"^/"),
        components=closed(
            "",
            schemas=map_of(SCHEMA),
            responses=map_of(either("response")),
            parameters=map_of(either("parameter")),
            headers=map_of(either("header")),
            securitySchemes=map_of(either("scheme")))),
    "$defs": {
        "reference": closed("$ref", **{"$ref": {"type": "string", "pattern": r"^#/components/\w+/[A-Za-z0-9._-]+$"}}),
        "path": closed(
            "",
            parameters=PARAMETERS,
            get={"$ref": "#/$defs/operation"},
            post={"$ref": "#/$defs/operation"},
            delete={"$ref": "#/$defs/operation"}),
        "operation": closed(
            "operationId summary tags responses",
            operationId={"type": "string", "pattern": r"^[a-z_]+$"},
            summary=TEXT, description=TEXT, tags={"type": "array", "items": TEXT},
            parameters=PARAMETERS, security=SECURITY, requestBody={"$ref": "#/$defs/body"},
            responses={"minProperties": 1, **map_of(either("response"), r"^[1-5]\d\d$")}),
        "parameter": {
            **closed(
                "name in description",
                name=TEXT, description=TEXT, required={"type": "boolean"},
                schema=SCHEMA, example=True,
                content={"minProperties": 1, "maxProperties": 1, **map_of({"$ref": "#/$defs/media"}, r"^\w+/\w+$")},
                **{"in": {"enum": ["path", "query", "header"]}}),
            "if": {"properties": {"in": {"const": "path"}}},
            "then": {"required": ["required"], "properties": {"required": {"const": True}}},
            "oneOf": [{"required": ["schema"]}, {"required": ["content"]}],
        },
        "body": closed(
            "description content",
            description=TEXT, required={"type": "boolean"},
            content={"minProperties": 1, **map_of({"$ref": "#/$defs/media"}, r"^\w+/\w+$")}),
        "header": closed("description schema", description=TEXT, required={"type": "boolean"}, schema=SCHEMA, example=True),
        "response": closed(
            "description",
            description=TEXT,
            headers=map_of(either("header")),
            content=map_of({"$ref": "#/$defs/media"}, r"^\w+/[\w-]+$")),
        "media": {
            **closed("schema", schema=SCHEMA, example=True, examples=map_of(closed("value", value=True))),
            "not": {"required": ["example", "examples"]},
        },
        "scheme": {
            "oneOf": [
                closed("type scheme", type={"const": "http"}, scheme=TEXT, description=TEXT),
                closed("type in name", type={"const": "apiKey"}, name=TEXT, description=TEXT,
                       **{"in": {"enum": ["query", "header", "cookie"]}}),
            ],
        },
    },
}
