# parts.sh
#		Running one part of the tests after the other, and counting.  Sourced by bash,
#		after lib.sh.

PASSED=0
FAILED=0

# Count what a log says passed and failed, in the words of pg_regress, of TAP and of
# Python's unittest; a part that ended badly without saying so is one failure.
count()
{
	local log=$1 status=$2 passed failed

	passed=$(grep -cE '^(test +[^ ]+ +\.\.\. ok|ok [0-9]+ )|^test_.* \.\.\. ok$' "$log" || true)
	failed=$(grep -cE '^(test +[^ ]+ +\.\.\. FAILED|not ok [0-9]+ )|^test_.* \.\.\. (FAIL|ERROR)$' "$log" || true)
	[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
	[ "$status" -ne 0 ] || [ "$passed" -gt 0 ] || failed=1
	PASSED=$((PASSED + passed))
	FAILED=$((FAILED + failed))
	say "   $passed passed, $failed failed"
}
