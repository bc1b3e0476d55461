# scale_outbox.sh
#		The part "outbox" of the benchmark of size, see scale: large outboxes.
#
# Three databases: in "waiting" all actions wait, in "finished" they are delivered, and in
# "small" and "finished" as many more wait as clients take.

BATCHES=4
BATCH=$((OUTBOX / BATCHES))
TAKEN=$((REPLAY * ROUNDS))
FEW=1000
ITEMS=100
TALLY_BATCHES=20
TALLY_ROWS=$((OUTBOX / 4 / TALLY_BATCHES))	# of each of these batches

# A database with the extension and an audit table.
make_database()
{
	sql -c "CREATE DATABASE $1"
	sql -d "$1" -f "$TOP/test/fixtures/audit_table.sql" -f "$TOP/test/bench/scale_outbox.sql"
}

# Replay records in one batch, so many after a number, of a database.
replay_batch()
{
	sql -d "$1" -c 'TRUNCATE acteon_audit'
	fill acteon_audit $(($2 + $3)) "$(time_of $(($2 + $3)))" "n > $2" "$1"
	sql -d "$1" -c 'ANALYZE acteon_audit' -c "CALL acteon_replay_all(from_time => '2000-01-01', allow_effective => true)" -c 'TRUNCATE acteon_audit' >/dev/null
}

# Claim and ack, in calls of 100, until so many actions were taken; prints what queue_client prints.
take()
{
	as_user env PGDATABASE="$1" "$WORK/queue_client" 3600 "$2" \
		"SELECT outbox_id, lease_token, action FROM acteon_outbox_claim('bench', 100)" 'SELECT acteon_outbox_ack($1, $2, $3)'
}

# Note in a file how long a statement takes in a database, in milliseconds, so many times over; in
# another one, its CPU time.
time_statement()
{
	sql -d "$2" -At -c "SELECT elapsed * 1000 FROM timed($3, \$\$$4\$\$)" >>"$WORK/$1"
}
time_cpu()
{
	sql -d "$2" -At -c "SELECT cpu * 1000 FROM timed(1, \$\$$3\$\$)" >>"$WORK/$1"
}

say "== filling the outboxes: $OUTBOX actions each"
as_user gcc -std=gnu11 -O2 -I"$("$PG_CONFIG" --includedir)" -I/usr/include/postgresql -L"$("$PG_CONFIG" --libdir)" \
	"$WORK/src/test/bench/queue_client.c" -lpq -o "$WORK/queue_client"
make_database waiting
for batch in $(seq 0 $((BATCHES - 1))); do
	replay_batch waiting $((batch * BATCH)) "$BATCH"
done
sql -d waiting -c 'VACUUM ANALYZE' -c CHECKPOINT
sql -c 'CREATE DATABASE finished TEMPLATE waiting STRATEGY file_copy'
sql -d finished -c "UPDATE acteon_replay_installation SET database = (SELECT oid FROM pg_database WHERE datname = 'finished')"
make_database small
counts=()
ends=()
for batch in $(seq "$BATCHES"); do
	counts+=("$(sql -d finished -At -c "SELECT replayed FROM acteon_replay_batch WHERE id = $batch")")
	take finished "${counts[-1]}" >/dev/null
	ends+=("$(ask 'SELECT clock_timestamp()')")
done
replay_batch small $((OUTBOX * 2)) "$FEW"
for database in small finished; do
	replay_batch "$database" "$OUTBOX" "$((TAKEN * 2))"
	sql -d "$database" -c 'VACUUM ANALYZE' -c CHECKPOINT
done
say "$(sql -d finished -At -c "SELECT format('%s actions, %s of them finished, %s in the database', (SELECT count(*) FROM acteon_dispatch_outbox),
	(SELECT count(*) FROM acteon_dispatch_delivery), pg_size_pretty(pg_database_size('finished')))"), in $(sql -d finished -At -c "SELECT count(DISTINCT tableoid) FROM acteon_dispatch_outbox") parts"

say "== measuring the outboxes, alternating"
for round in $(seq "$ROUNDS"); do
	for database in small waiting; do
		time_statement "items.$database" "$database" 20 "SELECT * FROM acteon_replay_items(1, max_items => $ITEMS)"
		time_statement "waiting.$database" "$database" 20 "SELECT * FROM acteon_replay_items(1, 'waiting', max_items => $ITEMS)"
	done
done
for round in $(seq "$ROUNDS"); do
	for database in small finished waiting; do
		take "$database" "$REPLAY" | awk '{ print $2 * 1000 }' >>"$WORK/take.$database"
	done
done
# As acks leave the tally, and with so many rows that nothing has folded.
for database in small waiting; do
	sql -d "$database" -c "CALL make_tally($TALLY_BATCHES, $([ $database = small ] && echo 1000 || echo "$TALLY_ROWS"))" -c 'VACUUM ANALYZE acteon_replay_tally, acteon_replay_batch'
done
for round in $(seq "$ROUNDS"); do
	for database in small waiting; do
		time_statement "batches.$database" "$database" 5 'SELECT * FROM acteon_replay_batches'
	done
done
for database in small waiting; do
	sql -d "$database" -c 'CALL drop_tally()'
done
for round in $(seq "$ROUNDS"); do
	for database in finished waiting; do
		time_cpu "check.$database" "$database" 'SELECT * FROM acteon_outbox_check()'
	done
done
check_outbox small

# A purge of whole parts, and as many rows as clients take deleted by a statement, by turns.
for batch in $(seq $((BATCHES - 1))); do
	sql -d finished -c CHECKPOINT
	sql -d finished -At -F ' ' -c "SELECT * FROM timed_purge('${ends[$((batch - 1))]}')" >>"$WORK/purges"
	sql -d finished -c CHECKPOINT
	sql -d finished -At -F ' ' -c "SELECT * FROM timed_delete('${ends[$((BATCHES - 2))]}', $REPLAY)" >>"$WORK/deletes"
done
check_outbox finished

# A figure of each action that went, in files of timed_purge() and timed_delete().
gone() { awk -v column="$2" -v unit="$3" '$1 > 0 { print $column * unit / $1 }' "$WORK/$1" | median; }

compare "claim and ack, beside $OUTBOX finished actions" "$((TAKEN * 2)) actions" take.small "$REPLAY" "with them" take.finished "$REPLAY"
compare "claim and ack, beside $OUTBOX waiting actions" "$((TAKEN * 2)) actions" take.small "$REPLAY" "with them" take.waiting "$REPLAY"
compare "first $ITEMS items, batch of $BATCH" "batch of $FEW" items.small 20 "that one" items.waiting 20
compare "first $ITEMS waiting items, batch of $BATCH" "batch of $FEW" waiting.small 20 "that one" waiting.waiting 20
compare "acteon_replay_batches, $TALLY_BATCHES batches with $((TALLY_BATCHES * TALLY_ROWS)) rows in the tally, made by hand" "1000 rows of each, as acks leave them" batches.small 5 "that many" batches.waiting 5
say "acteon_outbox_check, CPU time: $(awk -v ms="$(median <"$WORK/check.waiting")" 'BEGIN { printf "%.1f", ms / 1000 }') s with $OUTBOX actions waiting," \
	"$(awk -v ms="$(median <"$WORK/check.finished")" 'BEGIN { printf "%.1f", ms / 1000 }') s with as many finished"
while read -r purged elapsed wal before after; do
	say "acteon_outbox_purge: $purged actions in $(awk -v s="$elapsed" 'BEGIN { printf "%.2f", s }') s, $((wal / 1000)) kB of WAL, $((before / 1000000)) MB before, $((after / 1000000)) MB after"
done <"$WORK/purges"
say "an action purged: $(gone purges 2 1e6) µs, $(gone purges 3 1) bytes of WAL; by DELETE: $(gone deletes 2 1e6) µs, $(gone deletes 3 1) bytes of WAL" \
	"($(ratio "$(gone deletes 2 1e6)" "$(gone purges 2 1e6)") times the time, $(ratio "$(gone deletes 3 1)" "$(gone purges 3 1)") times the WAL)"
for database in small finished waiting; do
	sql -c "DROP DATABASE $database"
done
