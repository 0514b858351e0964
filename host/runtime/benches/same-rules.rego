# What the default policy rules before it weighs signs of life, rule for rule, to
# compare the cost of asking. Ages are milliseconds.
package reprieve

settle := 60000

busy_retry_after := 30000

default judgement := {"verdict": "weigh-signs"}

judgement := {"verdict": "busy", "retry_after": busy_retry_after, "reason": "in-flight"} if {
	input.life.in_flight
} else := {"verdict": "busy", "retry_after": min([settle - input.life.began, busy_retry_after]), "reason": "settle-window"} if {
	input.life.began < settle
} else := {"verdict": "alive", "reason": "probe-fault"} if {
	input.look.fault
} else := {"verdict": "busy", "retry_after": busy_retry_after, "reason": "starting"} if {
	input.look.status in {"starting", "restarting"}
} else := {"verdict": "alive", "reason": "paused"} if {
	input.look.status == "paused"
}
