# lib.sh
#		What the demo, the tests and the benchmarks share: packages, the build,
#		and a private throw-away cluster.  Sourced by bash, from any directory.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
WORK=''							# scratch directory of this run
BINDIR=''						# the server's programs
CLUSTER_RUNNING=''
LISTS_FRESH=''					# whether the package lists have been fetched
BACKGROUND=()					# processes to end with us
AT_END=:						# what else is to be done in the end

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Run a command as an unprivileged user: PostgreSQL refuses to run as root.
as_user()
{
	if [ "$(id -u)" -eq 0 ]; then
		runuser -u "$RUN_AS" -- env HOME="$WORK" "$@"
	else
		"$@"
	fi
}

# The newest PostgreSQL, 15 to 18, that has server headers; or what PG_CONFIG names.
find_pg_config()
{
	local candidate

	if [ -n "${PG_CONFIG:-}" ]; then
		printf '%s\n' "$PG_CONFIG"
		return
	fi
	for candidate in /usr/lib/postgresql/{18,17,16,15}/bin/pg_config; do
		if [ -x "$candidate" ] && [ -x "$(dirname "$candidate")/postgres" ] &&
			[ -f "$("$candidate" --includedir-server)/postgres.h" ]; then
			printf '%s\n' "$candidate"
			return
		fi
	done
}

# Fetch the package lists, once: on a bare machine there are none.
refresh_package_lists()
{
	[ -z "$LISTS_FRESH" ] && [ "$(id -u)" -eq 0 ] || return 0
	apt-get update -q >"$WORK/apt.log" 2>&1 || { cat "$WORK/apt.log" >&2; die "apt-get update failed"; }
	LISTS_FRESH=yes
}

# The PostgreSQL major that this Debian ships.
distribution_major()
{
	apt-cache depends postgresql 2>/dev/null |
		sed -n 's/^ *Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1
}

# Install the packages that are missing, and say which.  Nothing that is
# installed is upgraded, and no database cluster is made.
install_packages()
{
	local missing=() package
	local no_cluster=/etc/postgresql-common/createcluster.d/acteon-no-main-cluster.conf

	for package in "$@"; do
		dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' ||
			missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "== installing packages: ${missing[*]}"
	[ "$(id -u)" -eq 0 ] ||
		die "run this as root, or first: apt-get install ${missing[*]}"
	refresh_package_lists
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y -q --no-install-recommends --no-upgrade postgresql-common >"$WORK/apt.log" 2>&1 ||
		{ cat "$WORK/apt.log" >&2; die "could not install postgresql-common"; }
	mkdir -p "$(dirname "$no_cluster")"
	printf 'create_main_cluster = false\n' >"$no_cluster"
	apt-get install -y -q --no-install-recommends --no-upgrade "${missing[@]}" >"$WORK/apt.log" 2>&1 ||
		{ rm -f "$no_cluster"; cat "$WORK/apt.log" >&2; die "could not install packages"; }
	rm -f "$no_cluster"
}

# Install what libFuzzer needs beside clang, of which the server's headers bring one.  Without
# it, the fuzzers are left out.
install_fuzzer()
{
	local version

	version=$(compgen -c clang- | grep -x 'clang-[0-9]*' | sort -t- -k2nr | head -n 1)
	[ -z "$version" ] || (install_packages "libclang-rt-${version#clang-}-dev") || true
}

# The package of another extension for the server that was found, by the end of the
# package's name and by the extension's library; nothing if there is none: packages are
# made for the servers that are packages themselves.
neighbour_package()
{
	local major package candidate

	major=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	package=postgresql-$major-$1
	[ "$BINDIR" = "/usr/lib/postgresql/$major/bin" ] || return 0
	[ -f "$("$PG_CONFIG" --pkglibdir)/$2.so" ] || refresh_package_lists
	candidate=$(apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p' || true)
	[ -z "$candidate" ] || printf '%s\n' "$package"
}

# The packages for the programs in five languages, test/clients.  Debian's driver for
# Node.js does not go with a Node.js from elsewhere; see fetch_node_driver().
client_packages()
{
	printf '%s\n' python3-psycopg golang-go golang-github-lib-pq-dev default-jdk-headless libpostgresql-jdbc-java \
		libjackson2-databind-java cargo rustc librust-tokio-postgres-dev
	is_foreign_node || printf '%s\n' nodejs node-pg
}

# Whether there is a Node.js, and it is not Debian's: it has an npm of its own.
is_foreign_node()
{
	dpkg-query -W -f '${Provides}\n' nodejs 2>/dev/null | grep -qw npm
}

# Fetch the driver for a foreign Node.js, in the versions of the lock file, into the
# copy of the checkout.  Without it, the tests leave Node.js out.
fetch_node_driver()
{
	is_foreign_node || return 0
	(cd "$WORK/src/test/clients/nodejs" && as_user /usr/bin/npm ci --ignore-scripts --no-audit --no-fund --cache "$WORK/npm") >"$WORK/npm.log" 2>&1 ||
		cat "$WORK/npm.log" >&2
}

# Fetch what looks for barriers on the page of the HTTP server, in the version of the lock
# file, into the copy of the checkout.  Without it, that part of the test is left out.
fetch_axe()
{
	command -v npm >/dev/null || return 0
	(cd "$WORK/src/test/page" && as_user npm ci --ignore-scripts --no-audit --no-fund --cache "$WORK/npm") >"$WORK/axe.log" 2>&1 ||
		cat "$WORK/axe.log" >&2
}

# Fetch a broker of Kafka, in the versions of test/kafka/pom.xml, for test/t/029_relay_kafka.pl,
# and say where it is.  Without it, that test is left out.
fetch_kafka()
{
	(cd "$WORK/src/test/kafka" && as_user mvn -q -B "-Dmaven.repo.local=$WORK/maven" dependency:copy-dependencies \
		"-DoutputDirectory=$WORK/kafka") >"$WORK/kafka.log" 2>&1 || cat "$WORK/kafka.log" >&2
	export ACTEON_KAFKA_JARS=$WORK/kafka
}

# Fetch what test/t/078_http_generated.pl makes clients with, and say where it is: the
# generator, in the version of test/generated/pom.xml, and what its clients need.  What
# cannot be had is left out there.
fetch_generator()
{
	local to=$WORK/generated

	as_user mkdir -p "$to"
	{
		(cd "$WORK/src/test/generated" && as_user mvn -q -B "-Dmaven.repo.local=$WORK/maven" dependency:copy-dependencies \
			"-DoutputDirectory=$to/jar") || true
		as_user /usr/bin/python3 -m venv "$to/python" || true
		as_user env HOME="$WORK" "$to/python/bin/pip" -q --disable-pip-version-check --no-cache-dir install \
			-r "$WORK/src/test/generated/requirements.txt" || true
		(cd "$WORK/src/test/generated/go" && as_user env -u GOROOT -u GOFLAGS HOME="$WORK" GO111MODULE=on GOTOOLCHAIN=local \
			GOMODCACHE="$to/gomod" GOFLAGS=-modcacherw /usr/bin/go mod download) || true
	} >"$WORK/generated.log" 2>&1
	export ACTEON_GENERATED=$to
}

# Fetch programs without installing their package, which would start a daemon:
# fetch_unpacked PACKAGE PROGRAM…, and say where they are.  Nothing is done if they are
# installed.  Without them, the tests that need them are left out.
fetch_unpacked()
{
	local package=$1 to=$WORK/unpacked/$1 bin=$WORK/unpacked/bin program file needed libraries missing=''

	shift
	for program in "$@"; do
		PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || missing=yes
	done
	[ -n "$missing" ] || return 0
	say "== fetching $package, without installing it"
	refresh_package_lists
	mkdir -p "$to" "$bin"
	unpack_package "$package" "$to" || return 0
	for program in "$@"; do
		file=$(find "$to" -type f -path "*bin/$program" | head -n 1)
		[ -n "$file" ] || continue
		# What a program lacks is in packages that its own depends on.
		for needed in '' $(apt-cache depends -i --recurse "$package" | grep -v -e '^libc6$' -e '^libjs-' | grep '^lib'); do
			[ -z "$needed" ] || unpack_package "$needed" "$to" || true
			libraries=$(find "$to" -name '*.so.*' -printf '%h\n' | sort -u | paste -s -d :)
			LD_LIBRARY_PATH=$libraries ldd "$file" 2>&1 | grep -q 'not found' || break
		done
		printf '#!/bin/sh\n%sexec %s "$@"\n' "${libraries:+LD_LIBRARY_PATH=$libraries }" "$file" >"$bin/$program"
		chmod 755 "$bin/$program"
	done
	export ACTEON_UNPACKED=$bin
}

# Fetch a package, and unpack it into a directory.
unpack_package()
{
	local fetched=$WORK/unpacked/fetched

	mkdir -p "$fetched"
	# apt fetches as a user of its own.
	[ "$(id -u)" -ne 0 ] || ! id _apt >/dev/null 2>&1 || chown _apt "$fetched"
	(cd "$fetched" && apt-get download -q "$1" && dpkg -x "$1"_*.deb "$2") >"$WORK/unpacked.log" 2>&1 ||
		{ cat "$WORK/unpacked.log" >&2; return 1; }
}

# Install what building and running need, and find the server: sets BINDIR.
prepare_packages()
{
	local major

	if [ -z "$(find_pg_config)" ] || ! command -v make >/dev/null || ! command -v gcc >/dev/null ||
		[ ! -f /usr/include/uuid/uuid.h ]; then
		refresh_package_lists
		major=$(distribution_major)
		[ -n "$major" ] || die "no PostgreSQL found, and no package of it; set PG_CONFIG"
		install_packages make gcc libc6-dev uuid-dev "postgresql-$major" "postgresql-server-dev-$major"
	fi
	[ -f /usr/include/postgresql/libpq-fe.h ] || set -- libpq-dev "$@"
	[ -f /usr/include/openssl/evp.h ] || set -- libssl-dev "$@"
	[ -f /usr/include/microhttpd.h ] || set -- libmicrohttpd-dev "$@"
	[ -f /usr/include/librdkafka/rdkafka.h ] || set -- librdkafka-dev "$@"
	[ -f /usr/include/yajl/yajl_parse.h ] || set -- libyajl-dev "$@"
	compgen -G '/usr/include/*/curl/curl.h' >/dev/null || [ -f /usr/include/curl/curl.h ] ||
		set -- libcurl4-openssl-dev "$@"
	install_packages "$@"
	PG_CONFIG=$(find_pg_config)
	[ -n "$PG_CONFIG" ] || die "no PostgreSQL with server headers found; set PG_CONFIG"
	export PG_CONFIG
	BINDIR=$("$PG_CONFIG" --bindir)
}

# Build a copy of the checkout; the checkout itself stays clean.
build_copy()
{
	say "== building against $("$PG_CONFIG" --version), in $WORK/src"
	mkdir "$WORK/src"
	(cd "$TOP" && tar -cf - --exclude=.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude='./acteon-relay*' --exclude='./acteon-replay-http*' \
		--exclude=./test/output --exclude=./tmp_check --exclude=node_modules .) | tar -xf - -C "$WORK/src"
	[ "$(id -u)" -ne 0 ] || chown -R "$RUN_AS" "$WORK/src"
	as_user make -s -j "$(nproc)" -C "$WORK/src" PG_CONFIG="$PG_CONFIG" "$@" >"$WORK/build.log" 2>&1 ||
		{ cat "$WORK/build.log" >&2; die "the build failed"; }
}

# The same, and install it.
build_and_install()
{
	build_copy "$@"
	say "== installing the extension into $("$PG_CONFIG" --sharedir)/extension and $("$PG_CONFIG" --pkglibdir)"
	make -s -C "$WORK/src" PG_CONFIG="$PG_CONFIG" install >"$WORK/build.log" 2>&1 ||
		{ cat "$WORK/build.log" >&2; die "could not install; this needs the rights to write there"; }
}

# Make and start a cluster of our own: a socket in the scratch directory, no TCP.
# Arguments are further lines of its configuration.
start_cluster()
{
	say "== starting a private cluster in $WORK (socket only, no TCP port)"
	as_user "$BINDIR/initdb" -D "$WORK/data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 \
		>"$WORK/initdb.log" 2>&1 || { cat "$WORK/initdb.log" >&2; die "initdb failed"; }
	{
		printf "listen_addresses = ''\nunix_socket_directories = '%s'\nport = 54329\n" "$WORK"
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} | as_user tee -a "$WORK/data/postgresql.conf" >/dev/null
	as_user "$BINDIR/pg_ctl" -D "$WORK/data" -l "$WORK/server.log" -w -t 120 start >"$WORK/pg_ctl.log" 2>&1 ||
		{ cat "$WORK/pg_ctl.log" "$WORK/server.log" >&2; die "the cluster did not start"; }
	CLUSTER_RUNNING=yes
	export PGHOST=$WORK PGPORT=54329 PGUSER=postgres PGDATABASE=postgres
	export PATH="$BINDIR:$PATH"
}

stop_cluster()
{
	[ -n "$CLUSTER_RUNNING" ] || return 0
	as_user "$BINDIR/pg_ctl" -D "$WORK/data" -m immediate -w stop >/dev/null 2>&1 || true
	CLUSTER_RUNNING=''
}

# Leave nothing behind, however we end.
clean_up()
{
	local status=$? name

	trap - EXIT
	$AT_END || true
	if [ -n "${KEEP_WORK:-}" ]; then
		exit $status
	fi
	for name in relay http; do
		[ ! -f "$WORK/$name.pid" ] || kill "$(cat "$WORK/$name.pid")" 2>/dev/null || true
	done
	[ ${#BACKGROUND[@]} -eq 0 ] || kill "${BACKGROUND[@]}" 2>/dev/null || true
	stop_cluster
	[ -z "$WORK" ] || rm -rf "$WORK"
	exit $status
}

# A scratch directory that goes away with us.
begin_scratch()
{
	# The user that Debian's server package makes, else one that is always there.
	RUN_AS=postgres
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/acteon.XXXXXX")
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

begin_run()
{
	begin_scratch
	prepare_packages "$@"
	chmod 755 "$WORK"
	[ "$(id -u)" -ne 0 ] || chown "$RUN_AS" "$WORK"
}
