"""A plugin that is kept: a tool that counts, in the state of its instance."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import manifest, tools
from wit_world.imports import log, progress, settings, state, types

NAME = "kept-python.count"
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"unit": {"type": "string", "default": "times"}},
}
PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["by"],
    "properties": {"by": {"type": "integer"}},
}


class Manifest(exports.Manifest):
    def describe(self) -> manifest.Manifest:
        return manifest.Manifest(
            name="kept-python",
            version="0.1.0",
            summary="Counts.",
            needs=[],
            secrets=[],
            settings=json.dumps(SCHEMA),
            presets=[],
            about=[("licence", "MIT OR Apache-2.0")],
        )


class Tools(exports.Tools):
    def definitions(self) -> list[types.ToolDefinition]:
        return [types.ToolDefinition(NAME, "Counts up.", json.dumps(PARAMETERS), types.ToolHints.READ_ONLY)]

    def call(self, invocation: tools.Invocation) -> list[types.Content]:
        by = json.loads(invocation.arguments)["by"]
        if by < 0:
            raise Err(tools.ToolError_InvalidArguments("it counts up only"))
        unit = json.loads(settings.get())["unit"]
        count = int(state.get("count") or b"0") + by
        state.set("count", str(count).encode())
        log.log(log.Level.INFO, f"counted to {count}")
        progress.report("counting")
        return [types.Content_Text(f"{count} {unit}"), types.Content_Json(json.dumps({"count": count}))]
