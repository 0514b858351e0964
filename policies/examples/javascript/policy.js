// The policy `second-look` in JavaScript: restarts what is seen not running twice.
//
// It is the twin of ../rust/src/lib.rs and ../c/policy.c, and rules every row of
// ../judgements.toml as they do. The names come from the contract in wit/:
// records are objects with their fields in camelCase, variants are
// { tag, val }, enums their names, and a result that is an error is thrown.
//
// A policy holds nothing between its calls but its settings: the host may judge
// the same evidence twice, in different instances, and must get the same answer.

import probe from "reprieve:policy/probe@0.1.0";
import restarts from "reprieve:policy/restarts@0.1.0";

// Told to callers, and after so long the host asks again.
const RETRY_AFTER_MS = 30_000;
// A restart that cannot be ruled on waits so long.
const STORE_RETRY_MS = 10_000;

// The order is the index that the contract carries: new ones go to the end.
const REASONS = [
  ["running", "The runtime says that it runs."],
  ["paused", "It is paused: somebody wanted that."],
  ["coming-up", "The runtime is bringing it up."],
  ["in-flight", "A restart is being carried out at this moment."],
  ["probe-fault", "The probe failed: that tells about the host's eyes, not about the workspace."],
  ["store-fault", "The host cannot say whether a restart is under way: nobody is touched without that."],
  ["not-running", "The runtime says that it does not run; it is asked again after `reprobe_delay`."],
  ["still-not-running", "The runtime said so again at the second look."],
  ["admitted", "Nothing speaks against the restart."],
];
const index = Object.fromEntries(REASONS.map(([code], nth) => [code, nth]));

const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  description: "Settings of second-look.",
  type: "object",
  additionalProperties: false,
  properties: {
    reprobe_delay: {
      description: "After what looks like death, the runtime is asked again after so long.",
      type: "string",
      pattern: "^[0-9]+(\\.[0-9]+)?(ms|s|m|min|h)$",
      default: "2s",
      "x-least": "10ms",
      "x-most": "1min",
    },
  },
};
const UNIT_MS = { ms: 1n, s: 1_000n, m: 60_000n, min: 60_000n, h: 3_600_000n };

// A length of time in ms; null if it is not written as one, or finer than 1 ms.
function lengthMs(text) {
  const parts = /^([0-9]+)(?:\.([0-9]+))?(ms|s|min|m|h)$/.exec(text);
  if (parts === null) return null;
  const [, whole, fraction = "", unit] = parts;
  const scale = 10n ** BigInt(fraction.length);
  const scaled = BigInt(whole + fraction) * UNIT_MS[unit];
  return scaled % scale === 0n ? scaled / scale : null;
}

// The settings, or what is wrong with them.
function read(json) {
  let given;
  try {
    given = JSON.parse(json);
  } catch {
    given = null;
  }
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    throw [{ path: "", message: "settings are no JSON object" }];
  }
  const { reprobe_delay = "2s", ...others } = given;
  const problems = Object.keys(others).map((path) => ({
    path,
    message: "there is no such setting; there are: reprobe_delay",
  }));
  const delayMs = typeof reprobe_delay === "string" ? lengthMs(reprobe_delay) : null;
  if (delayMs === null || delayMs < 10n || delayMs > 60_000n) {
    const wrong =
      delayMs === null ? "is not a length of time with its unit, like \"2s\"" : "is out of range";
    problems.push({
      path: "reprobe_delay",
      message: `${JSON.stringify(reprobe_delay).slice(0, 40)} ${wrong}; allowed is 10ms to 1min`,
    });
  }
  if (problems.length > 0) throw problems;
  return Number(delayMs);
}

const alive = (reason) => ({ verdict: { tag: "alive" }, reason: index[reason] });
const busy = (reason) => ({ verdict: { tag: "busy", val: RETRY_AFTER_MS }, reason: index[reason] });

// What the store says of the present life; null if it cannot be read.
function life() {
  try {
    return restarts.current();
  } catch {
    return null;
  }
}

class Session {
  constructor(reprobeDelayMs) {
    this.reprobeDelayMs = reprobeDelayMs;
  }

  static open(settings) {
    return new Session(read(settings));
  }

  judge(trigger, attempt) {
    const current = life();
    if (current === null) return busy("store-fault");
    if (current.inFlight) return busy("in-flight");
    let sighting;
    try {
      sighting = probe.look();
    } catch {
      return alive("probe-fault");
    }
    switch (sighting.status) {
      case "running":
        return alive("running");
      case "paused":
        return alive("paused");
      case "starting":
      case "restarting":
        return busy("coming-up");
      default: // stopped, missing
        if (attempt.number > 0) {
          return { verdict: { tag: "dead" }, reason: index["still-not-running"] };
        }
        return {
          verdict: { tag: "recheck", val: this.reprobeDelayMs },
          reason: index["not-running"],
        };
    }
  }

  admit(cause) {
    const current = life();
    if (current === null) {
      return { admission: { tag: "defer", val: STORE_RETRY_MS }, reason: index["store-fault"] };
    }
    if (current.inFlight) return { admission: { tag: "drop" }, reason: index["in-flight"] };
    return { admission: { tag: "admit" }, reason: index["admitted"] };
  }

  silenceLimit() {
    return null;
  }
}

export const guard = {
  describe() {
    return {
      name: "second-look-javascript",
      version: "0.1.0",
      summary: "Restarts what is seen not running twice.",
      settingsSchema: JSON.stringify(SCHEMA),
      reasons: REASONS.map(([code, meaning]) => ({ code, meaning })),
    };
  },
  Session,
};
