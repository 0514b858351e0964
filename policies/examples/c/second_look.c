// The policy `second-look` in C: restarts what is seen not running twice.
//
// It is the twin of ../rust/src/lib.rs and ../javascript/policy.js, and rules
// every row of ../judgements.toml as they do. `policy.h` is what `wit-bindgen c`
// makes of the contract in wit/; heap.c is all of the C library that is needed.
//
// A policy holds nothing between its calls but its settings: the host may judge
// the same evidence twice, in different instances, and must get the same answer.

#include <stdlib.h>
#include <string.h>

#include "policy.h"

// Told to callers, and after so long the host asks again.
#define RETRY_AFTER_MS 30000
// A restart that cannot be ruled on waits so long.
#define STORE_RETRY_MS 10000

#define DEFAULT_REPROBE_DELAY_MS 2000
#define LEAST_REPROBE_DELAY_MS 10
#define MOST_REPROBE_DELAY_MS 60000

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// The order is the index that the contract carries: new ones go to the end.
enum reason {
  RUNNING,
  PAUSED,
  COMING_UP,
  IN_FLIGHT,
  PROBE_FAULT,
  STORE_FAULT,
  NOT_RUNNING,
  STILL_NOT_RUNNING,
  ADMITTED,
};

static const struct {
  const char *code, *meaning;
} REASONS[] = {
    [RUNNING] = {"running", "The runtime says that it runs."},
    [PAUSED] = {"paused", "It is paused: somebody wanted that."},
    [COMING_UP] = {"coming-up", "The runtime is bringing it up."},
    [IN_FLIGHT] = {"in-flight", "A restart is being carried out at this moment."},
    [PROBE_FAULT] = {"probe-fault",
                     "The probe failed: that tells about the host's eyes, not about the "
                     "workspace."},
    [STORE_FAULT] = {"store-fault",
                     "The host cannot say whether a restart is under way: nobody is touched "
                     "without that."},
    [NOT_RUNNING] = {"not-running",
                     "The runtime says that it does not run; it is asked again after "
                     "`reprobe_delay`."},
    [STILL_NOT_RUNNING] = {"still-not-running",
                           "The runtime said so again at the second look."},
    [ADMITTED] = {"admitted", "Nothing speaks against the restart."},
};

static const char SCHEMA[] =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
    "\"description\":\"Settings of second-look.\",\"type\":\"object\","
    "\"additionalProperties\":false,\"properties\":{\"reprobe_delay\":{"
    "\"description\":\"After what looks like death, the runtime is asked again after so long.\","
    "\"type\":\"string\",\"pattern\":\"^[0-9]+(\\\\.[0-9]+)?(ms|s|m|min|h)$\","
    "\"default\":\"2s\",\"x-least\":\"10ms\",\"x-most\":\"1min\"}}}";

// One session: its settings.
struct exports_reprieve_policy_guard_session_t {
  uint64_t reprobe_delay_ms;
};

typedef exports_reprieve_policy_guard_description_t description_t;
typedef exports_reprieve_policy_guard_list_problem_t problems_t;
typedef exports_reprieve_policy_guard_own_session_t own_session_t;
typedef exports_reprieve_policy_guard_problem_t problem_t;
typedef exports_reprieve_policy_guard_reason_t reason_t;
typedef exports_reprieve_policy_guard_session_t session_t;
typedef reprieve_policy_restarts_life_t life_t;
typedef reprieve_policy_types_judgement_t judgement_t;
typedef reprieve_policy_types_ruling_t ruling_t;

// What the host takes over it also frees, so every text is a copy.
void exports_reprieve_policy_guard_describe(description_t *told) {
  policy_string_dup(&told->name, "second-look-c");
  policy_string_dup(&told->version, "0.1.0");
  policy_string_dup(&told->summary, "Restarts what is seen not running twice.");
  policy_string_dup(&told->settings_schema, SCHEMA);
  told->reasons.len = COUNT(REASONS);
  told->reasons.ptr = malloc(COUNT(REASONS) * sizeof(reason_t));
  for (size_t nth = 0; nth < COUNT(REASONS); nth++) {
    policy_string_dup(&told->reasons.ptr[nth].code, REASONS[nth].code);
    policy_string_dup(&told->reasons.ptr[nth].meaning, REASONS[nth].meaning);
  }
}

// The settings as they are read: what is left of the text.
typedef struct {
  const uint8_t *at, *end;
} text_t;

static uint8_t next(const text_t *text) { return text->at < text->end ? *text->at : 0; }

static void skip_space(text_t *text) {
  while (next(text) == ' ' || next(text) == '\t' || next(text) == '\n' || next(text) == '\r') {
    text->at++;
  }
}

// Takes the byte if it comes next but for space.
static bool take(text_t *text, uint8_t byte) {
  skip_space(text);
  if (next(text) != byte) return false;
  text->at++;
  return true;
}

// Takes a text in quotes. Escapes are not read: no setting here needs one.
static bool take_quoted(text_t *text, text_t *quoted) {
  if (!take(text, '"')) return false;
  quoted->at = text->at;
  while (next(text) != '"') {
    if (next(text) < ' ' || next(text) == '\\') return false;
    text->at++;
  }
  quoted->end = text->at++;
  return true;
}

static bool is(text_t text, const char *word) {
  while (*word != '\0' && next(&text) == (uint8_t)*word) text.at++, word++;
  return *word == '\0' && text.at == text.end;
}

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

// Takes 1 to 9 digits: more are no length that is allowed here.
static bool take_number(text_t *text, uint64_t *number, uint64_t *scale) {
  const uint64_t most_scale = 1000000000;
  for (*number = 0, *scale = 1; is_digit(next(text)) && *scale < most_scale; text->at++) {
    *number = *number * 10 + (next(text) - '0');
    *scale *= 10;
  }
  return *scale > 1;
}

// Takes a length of time like "1.5s", at most 1 min and no finer than 1 ms.
static bool take_length_ms(text_t text, uint64_t *length_ms) {
  uint64_t whole, fraction = 0, scale = 1, ignored;
  if (!take_number(&text, &whole, &ignored)) return false;
  if (next(&text) == '.') {
    text.at++;
    if (!take_number(&text, &fraction, &scale)) return false;
  }
  uint64_t unit_ms = is(text, "ms")                       ? 1
                     : is(text, "s")                      ? 1000
                     : is(text, "m") || is(text, "min")   ? 60000
                     : is(text, "h")                      ? 3600000
                                                          : 0;
  if (unit_ms == 0 || whole > MOST_REPROBE_DELAY_MS) return false;
  if (fraction * unit_ms % scale != 0) return false;
  *length_ms = whole * unit_ms + fraction * unit_ms / scale;
  return true;
}

// NULL, or what is wrong; then `path` is where.
static const char *read(text_t text, uint64_t *delay_ms, const char **path) {
  text_t key, value;
  *path = "";
  *delay_ms = DEFAULT_REPROBE_DELAY_MS;
  if (!take(&text, '{')) return "settings are no JSON object";
  if (!take(&text, '}')) {
    if (!take_quoted(&text, &key) || !take(&text, ':')) return "settings are no JSON object";
    if (!is(key, "reprobe_delay")) return "there is one setting: reprobe_delay";
    *path = "reprobe_delay";
    if (!take_quoted(&text, &value) || !take_length_ms(value, delay_ms) ||
        *delay_ms < LEAST_REPROBE_DELAY_MS || *delay_ms > MOST_REPROBE_DELAY_MS) {
      return "is not a length of time with its unit, like \"2s\"; allowed is 10ms to 1min";
    }
    if (!take(&text, '}')) return "is the only setting, once: { \"reprobe_delay\": \"2s\" }";
  }
  skip_space(&text);
  return text.at == text.end ? NULL : "there is more than a JSON object";
}

bool exports_reprieve_policy_guard_static_session_open(policy_string_t *settings,
                                                       own_session_t *opened,
                                                       problems_t *problems) {
  uint64_t delay_ms;
  const char *path;
  const char *wrong =
      read((text_t){settings->ptr, settings->ptr + settings->len}, &delay_ms, &path);
  policy_string_free(settings);
  if (wrong != NULL) {
    problems->len = 1;
    problems->ptr = malloc(sizeof(problem_t));
    policy_string_dup(&problems->ptr->path, path);
    policy_string_dup(&problems->ptr->message, wrong);
    return false;
  }
  session_t *session = malloc(sizeof(session_t));
  session->reprobe_delay_ms = delay_ms;
  *opened = exports_reprieve_policy_guard_session_new(session);
  return true;
}

void exports_reprieve_policy_guard_session_destructor(session_t *session) { free(session); }

static judgement_t judged(uint8_t verdict, enum reason reason) {
  return (judgement_t){
      .verdict = {.tag = verdict, .val = {.busy = RETRY_AFTER_MS}},
      .reason = reason,
  };
}

static judgement_t judge(const session_t *session, uint32_t attempt) {
  life_t life;
  reprieve_policy_restarts_fault_t store_fault;
  reprieve_policy_probe_sighting_t sighting;
  reprieve_policy_probe_fault_t probe_fault;

  if (!reprieve_policy_restarts_current(&life, &store_fault)) {
    return judged(REPRIEVE_POLICY_TYPES_VERDICT_BUSY, STORE_FAULT);
  }
  if (life.in_flight) return judged(REPRIEVE_POLICY_TYPES_VERDICT_BUSY, IN_FLIGHT);
  if (!reprieve_policy_probe_look(&sighting, &probe_fault)) {
    return judged(REPRIEVE_POLICY_TYPES_VERDICT_ALIVE, PROBE_FAULT);
  }
  switch (sighting.status) {
    case REPRIEVE_POLICY_PROBE_STATUS_RUNNING:
      return judged(REPRIEVE_POLICY_TYPES_VERDICT_ALIVE, RUNNING);
    case REPRIEVE_POLICY_PROBE_STATUS_PAUSED:
      return judged(REPRIEVE_POLICY_TYPES_VERDICT_ALIVE, PAUSED);
    case REPRIEVE_POLICY_PROBE_STATUS_STARTING:
    case REPRIEVE_POLICY_PROBE_STATUS_RESTARTING:
      return judged(REPRIEVE_POLICY_TYPES_VERDICT_BUSY, COMING_UP);
  }
  // Stopped or missing.
  if (attempt > 0) return judged(REPRIEVE_POLICY_TYPES_VERDICT_DEAD, STILL_NOT_RUNNING);
  judgement_t again = judged(REPRIEVE_POLICY_TYPES_VERDICT_RECHECK, NOT_RUNNING);
  again.verdict.val.recheck = session->reprobe_delay_ms;
  return again;
}

void exports_reprieve_policy_guard_method_session_judge(
    session_t *session, reprieve_policy_types_trigger_t *trigger,
    reprieve_policy_types_attempt_t *attempt, judgement_t *judgement) {
  (void)trigger;
  *judgement = judge(session, attempt->number);
}

void exports_reprieve_policy_guard_method_session_admit(session_t *session,
                                                        reprieve_policy_types_restart_cause_t cause,
                                                        ruling_t *ruling) {
  (void)session, (void)cause;
  life_t life;
  reprieve_policy_restarts_fault_t fault;
  if (!reprieve_policy_restarts_current(&life, &fault)) {
    ruling->admission.tag = REPRIEVE_POLICY_TYPES_ADMISSION_DEFER;
    ruling->admission.val.defer = STORE_RETRY_MS;
    ruling->reason = STORE_FAULT;
  } else if (life.in_flight) {
    ruling->admission.tag = REPRIEVE_POLICY_TYPES_ADMISSION_DROP;
    ruling->reason = IN_FLIGHT;
  } else {
    ruling->admission.tag = REPRIEVE_POLICY_TYPES_ADMISSION_ADMIT;
    ruling->reason = ADMITTED;
  }
}

bool exports_reprieve_policy_guard_method_session_silence_limit(session_t *session,
                                                                uint64_t *limit_ms) {
  (void)session, (void)limit_ms;
  return false;
}
