#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the schemas of the served built-in kinds as C++ data: make_schema.py WHEEL OUTPUT.

The wheel is kubernetes-validate. What it says in JSON Schema becomes OpenAPI 3; only what the served kinds reach is kept.
Without a wheel ("" or a missing file) the data is an empty object, and the API checks no fields of built-in kinds.
"""
import json
import os
import sys
import zipfile

PATH = "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json"
ROOTS = [
    *("io.k8s.api.core.v1." + kind for kind in
      "Namespace ConfigMap Secret ServiceAccount Pod Service Node Event Binding".split()),
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.api.apps.v1.ReplicaSet",
    "io.k8s.api.discovery.v1.EndpointSlice",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.events.v1.Event",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    "io.k8s.api.authentication.v1.TokenReview",
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.api.authentication.v1.SelfSubjectReview",
    "io.k8s.api.authorization.v1.SubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    "io.k8s.api.autoscaling.v1.Scale",
]
LOCAL = "#/$defs/"
# These describe schemas; they hold anything.
OPEN = {"JSONSchemaProps", "JSON", "FieldsV1", "RawExtension"}


def converted(rule, reached):
    if not isinstance(rule, dict):
        return rule
    out = {}
    for key, value in rule.items():
        if key == "$ref":
            name = value.removeprefix(LOCAL)
            reached.append(name)
            reference = {"$ref": "#/components/schemas/" + name}
            if len(rule) == 1:
                return reference
            out["allOf"] = [reference]
        elif key == "type" and isinstance(value, list):
            out[key] = next(one for one in value if one != "null")
        elif key == "properties":
            out[key] = {name: converted(inner, reached) for name, inner in value.items()}
        elif key in ("items", "additionalProperties"):
            if value is not False:
                out[key] = converted(value, reached)
        elif key in ("oneOf", "anyOf", "allOf"):
            out[key] = [converted(inner, reached) for inner in value]
        elif key not in ("$schema", "$id", "enum") or (key == "enum" and None not in value and len(value) > 1):
            out[key] = value
    return out


def chunks(text, size):
    while text:
        yield text[:size]
        text = text[size:]


def main():
    wheel, output = sys.argv[1:]
    kept = {}
    if wheel and os.path.exists(wheel):
        with zipfile.ZipFile(wheel) as archive:
            known = json.loads(archive.read(PATH))["$defs"]
        waiting = list(ROOTS)
        while waiting:
            name = waiting.pop()
            if name in kept:
                continue
            if name.rsplit(".", 1)[1] in OPEN and "apiextensions" not in name or name.rsplit(".", 1)[1] == "JSON":
                kept[name] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            else:
                kept[name] = converted(known[name], waiting)
            if name.endswith(".IntOrString"):
                kept[name] = {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    text = json.dumps(dict(sorted(kept.items())), separators=(",", ":"))
    with open(output, "w", encoding="ascii") as out:
        out.write("// Made by tools/make_schema.py from the Kubernetes schemas (Apache-2.0).\n"
                  '#include "kube/schema_data.h"\n\nnamespace slipway::kube {\n\nconst std::string_view schema_pieces[] = {\n')
        for piece in chunks(text, 12000):
            out.write(f'R"~~({piece})~~",\n')
        out.write("};\nconst unsigned long schema_piece_count = sizeof(schema_pieces) / sizeof(schema_pieces[0]);\n\n}  // namespace slipway::kube\n")


main()
