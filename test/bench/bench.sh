# bench.sh
#		What the benchmarks share.  Sourced by bash, from any directory.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

sql() { as_user "$BINDIR/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }
ask() { sql -At -c "$1"; }

# Median of numbers, one a line.
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# So many actions more into the outbox; further arguments as fill.sql says.
fill_outbox() { local IFS=,; sql -c "CALL fill_outbox($*)"; }

# Run commands at the same time, one an argument; each must succeed.
at_once()
{
	local command pids=() pid

	for command in "$@"; do
		$command &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || die "one of these failed: $*"
	done
}

# What must hold of a database's outbox whenever it is asked.
check_outbox()
{
	local violations

	violations=$(sql -d "$1" -At -c 'SELECT * FROM acteon_outbox_check() LIMIT 10')
	[ -z "$violations" ] || die "acteon_outbox_check in $1: $violations"
}
