# scale_audit.sh
#		The part "audit" of the benchmark of size, see scale: large audit tables.

sql -f "$TOP/test/fixtures/audit_table.sql" -c "
	CREATE UNLOGGED TABLE flat (LIKE acteon_audit INCLUDING DEFAULTS);
	CREATE TABLE days (LIKE acteon_audit INCLUDING DEFAULTS) PARTITION BY RANGE (dispatched_at);
	CREATE TABLE tied (LIKE acteon_audit INCLUDING DEFAULTS);
	CREATE TABLE local (LIKE acteon_audit INCLUDING DEFAULTS);
	DROP TABLE acteon_audit;"
sql <<SQL
	SELECT format('CREATE UNLOGGED TABLE day_%s PARTITION OF days FOR VALUES FROM (%L) TO (%L)', n + 1,
		timestamptz '2026-01-01 00:00+00' - interval '1 day' * (n + 1), timestamptz '2026-01-01 00:00+00' - interval '1 day' * n) FROM generate_series(-1, $PARTITIONS) AS n
	\gexec
	CREATE EXTENSION acteon_replay;
	CREATE EXTENSION postgres_fdw;
SQL
# A large table with its indexes: $1 table, $2 key.
fill_large()
{
	fill "$1" "$RECORDS" "$(time_of "$RECORDS")" true
	index "$1" "$2"
}
say "== filling the audit tables: $RECORDS records each, $PARTITIONS partitions"
at_once 'fill_large flat id' 'fill_large days id,dispatched_at'
fill tied $((TIES * 3)) "timestamptz '2026-01-01 00:00+00'" 'n % 3 = 0'
index tied id
fill local $((REPLAY * 3)) "$(time_of $((REPLAY * 3)))" true
index local id
for shard in 0 1; do
	sql -c "CREATE DATABASE shard_$shard"
	sql -d shard_$shard -f "$TOP/test/fixtures/audit_table.sql"
	sql -d shard_$shard -c 'ALTER TABLE acteon_audit DROP CONSTRAINT acteon_audit_pkey'
	fill acteon_audit $((REPLAY * 3)) "$(time_of $((REPLAY * 3)))" "n % 2 = $shard" shard_$shard
	index acteon_audit id shard_$shard
	sql -d shard_$shard -c 'VACUUM ANALYZE'
done
host=$(ask 'SHOW unix_socket_directories')
sql -c 'CREATE TABLE shards (LIKE local) PARTITION BY HASH (id)'
for shard in 0 1; do
	sql -c "CREATE SERVER shard_$shard FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$(ask 'SHOW port')', dbname 'shard_$shard')" \
		-c "CREATE USER MAPPING FOR CURRENT_USER SERVER shard_$shard" \
		-c "CREATE FOREIGN TABLE shard_$shard PARTITION OF shards FOR VALUES WITH (MODULUS 2, REMAINDER $shard) SERVER shard_$shard OPTIONS (schema_name 'public', table_name 'acteon_audit')"
done
sql -c 'VACUUM ANALYZE' -d postgres
say "== measuring the audit tables, alternating"

EMPTY='TRUNCATE acteon_replay_batch, acteon_replay_refused, acteon_dispatch_outbox, acteon_dispatch_segment, acteon_dispatch_delivery, acteon_replay_tally, acteon_dispatch_action'

# Note in a file how long a statement takes with a table, in milliseconds; the outbox is empty before.
measure()
{
	local file=$WORK/$1 table=$2 statement=$3

	sql -c "$EMPTY" -c 'CHECKPOINT'
	printf '%s\n' "SET acteon_replay.audit_table = 'public.$table';" 'SET acteon_replay.audit_is_live = on;' \
		'SELECT clock_timestamp() AS began \gset' "$statement \\g /dev/null" \
		"SELECT extract(epoch FROM clock_timestamp() - :'began') * 1000;" >"$WORK/measure.sql"
	chmod a+r "$WORK/measure.sql"
	sql -At -f "$WORK/measure.sql" >>"$file"
}

# The same of single replays, one after the other: with more arguments, of the actions with these numbers.
measure_single()
{
	measure "$1" "$2" "DO \$\$ BEGIN FOR n IN 1 .. $SINGLE LOOP PERFORM acteon_replay(md5(($4)::text)::uuid::text$3); END LOOP; END \$\$"
}

all="CALL acteon_replay_all(outcome => 'failed', max_records => $REPLAY)"
pending='SELECT replayed FROM acteon_replay_bulk(outcome => '"'pending'"', allow_unproven => true, allow_partial => true, max_records => 1000)'
bulk="SELECT replayed FROM acteon_replay_bulk(outcome => 'failed', max_records => 1000)"
newest="$RECORDS - n * 3 - ($RECORDS % 3)"
for round in $(seq "$ROUNDS"); do
	measure flat flat "$all"
	measure days days "$all"
	measure_single single.flat flat '' "$newest"
	measure_single single.days days '' "$newest"
	measure_single single.old days ", from_time => '2026-01-01 00:00+00'::timestamptz - interval '$PARTITIONS days', to_time => '2026-01-01 00:00+00'::timestamptz - interval '$((PARTITIONS - 2)) days'" 'n * 3'
	measure_single single.oldest days '' 'n * 3'
	measure first.flat flat "SELECT acteon_replay(md5('3')::uuid::text)"
	measure first.days days "SELECT acteon_replay(md5('3')::uuid::text)"
	measure tied tied "CALL acteon_replay_all(outcome => 'failed', max_records => $TIES)"
	measure flat.bulk flat "$bulk"
	measure tied.bulk tied "$bulk"
	measure local local "$all"
	measure shards shards "$all"
	measure local.lost local "CALL acteon_replay_all(lost => true, max_records => $REPLAY)"
	measure shards.lost shards "CALL acteon_replay_all(lost => true, max_records => $REPLAY)"
	measure local.pending local "$pending"
	measure shards.pending shards "$pending"
done
# The same partitions without the index, and with a block range index instead.
sql <<SQL
	DROP INDEX days_outcome_dispatched_at_idx;
	CREATE INDEX days_outcome ON ONLY days (outcome, dispatched_at DESC);
	SELECT format('CREATE INDEX ON %s USING brin (dispatched_at)', relid) FROM pg_partition_tree('days') WHERE isleaf
	\gexec
	VACUUM ANALYZE days;
SQL
for round in $(seq "$ROUNDS"); do
	measure flat.again flat "$all"
	measure brin days "$all"
done

compare "acteon_replay_all" flat flat "$REPLAY" "$PARTITIONS partitions" days "$REPLAY"
compare "  … without the index, in the same run" flat flat.again "$REPLAY" "block range index" brin "$REPLAY"
compare "acteon_replay of the newest actions" flat single.flat "$SINGLE" "$PARTITIONS partitions" single.days "$SINGLE"
compare "acteon_replay of the oldest, with a range of times" flat single.flat "$SINGLE" "$PARTITIONS partitions" single.old "$SINGLE"
compare "acteon_replay of the oldest" flat single.flat "$SINGLE" "$PARTITIONS partitions" single.oldest "$SINGLE"
compare "acteon_replay of the oldest, the first call of a session" flat first.flat 1 "$PARTITIONS partitions" first.days 1
compare "acteon_replay_all, $TIES records of one time" flat flat "$REPLAY" "one time" tied "$TIES"
compare "acteon_replay_bulk of 1000, $TIES records of one time" flat flat.bulk 1000 "one time" tied.bulk 1000
compare "acteon_replay_all of failed records" local local "$REPLAY" "two shards" shards "$REPLAY"
compare "acteon_replay_all of lost records" local local.lost "$REPLAY" "two shards" shards.lost "$REPLAY"
compare "acteon_replay_bulk of intents" local local.pending $((REPLAY * 3 / 500)) "two shards" shards.pending $((REPLAY * 3 / 500))
