# stand_in.sh
#		A stand-in for the gateway, for scripts that run a relay.  Sourced after
#		lib.sh, whose clean_up ends it.

# Start it on a free port of the loopback; the arguments are what it is told, as
# JSON (stub_gateway.py), the database in which it writes its audit records, if
# it writes any, and the name of its files.  The relay's options are then in the environment.
start_stand_in()
{
	local i database=() name=${3:-gateway}

	[ -z "${2:-}" ] || database=(--database "$2")

	printf 'demo-key\n' | as_user tee "$WORK/api-key" >/dev/null
	as_user chmod 600 "$WORK/api-key"
	printf '%s\n' "$1" | as_user tee "$WORK/$name.json" >/dev/null
	# It may be looked into before the process is there that writes it.
	: >"$WORK/$name.log"
	# Its own process id, which is not that of whoever changes the user.
	as_user sh -c 'echo $$ >"$1/$2.pid"; work=$1; name=$2; shift 2; exec python3 "$work/src/test/gateway/stub_gateway.py" --key demo-key --control "$work/$name.json" "$@"' \
		sh "$WORK" "$name" "${database[@]}" >"$WORK/$name.log" 2>&1 &
	GATEWAY_PORT=''
	for ((i = 0; i < 300; i++)); do
		GATEWAY_PORT=$(sed -n 's/.*listening on \([0-9]*\).*/\1/p' "$WORK/$name.log")
		[ -z "$GATEWAY_PORT" ] || break
		sleep 0.1
	done
	[ ! -s "$WORK/$name.pid" ] || BACKGROUND+=("$(cat "$WORK/$name.pid")")
	[ -n "$GATEWAY_PORT" ] || { cat "$WORK/$name.log" >&2; die "the stand-in for the gateway did not start"; }
	say "== a stand-in for the gateway${3:+ of $3} listens on 127.0.0.1:$GATEWAY_PORT"
	export ACTEON_RELAY_GATEWAY_URL=http://127.0.0.1:$GATEWAY_PORT ACTEON_RELAY_API_KEY_FILE=$WORK/api-key
	export ACTEON_RELAY_DATABASE=user=gateway
}
