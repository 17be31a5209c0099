// A plugin that is kept: a tool that counts, in the state of its instance.

import { log } from "openpista:log/log@0.1.0";
import { report } from "openpista:plugin/progress@0.1.0";
import { get as read } from "openpista:settings/settings@0.1.0";
import { get, set } from "openpista:state/state@0.1.0";

const NAME = "kept-js.count";
const SCHEMA = {
  type: "object",
  additionalProperties: false,
  properties: { unit: { type: "string", default: "times" } },
};
const PARAMETERS = {
  type: "object",
  additionalProperties: false,
  required: ["by"],
  properties: { by: { type: "integer" } },
};

export const manifest = {
  describe() {
    return {
      name: "kept-js",
      version: "0.1.0",
      summary: "Counts.",
      needs: [],
      secrets: [],
      settings: JSON.stringify(SCHEMA),
      presets: [],
      about: [["licence", "MIT OR Apache-2.0"]],
    };
  },
};

export const tools = {
  definitions() {
    const parameters = JSON.stringify(PARAMETERS);
    return [{ name: NAME, description: "Counts up.", parameters, hints: { readOnly: true } }];
  },

  call(invocation) {
    const { by } = JSON.parse(invocation.arguments);
    if (by < 0) throw { tag: "invalid-arguments", val: "it counts up only" };
    const { unit } = JSON.parse(read());
    const before = get("count");
    const count = (before ? Number(String.fromCharCode(...before)) : 0) + by;
    set("count", Uint8Array.from(String(count), (digit) => digit.charCodeAt(0)));
    log("info", `counted to ${count}`);
    report("counting");
    return [
      { tag: "text", val: `${count} ${unit}` },
      { tag: "json", val: JSON.stringify({ count }) },
    ];
  },
};
