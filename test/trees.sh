# trees.sh
#		Whole Debian systems in directories, to test in: fetched once, and kept below
#		$CACHE.  Sourced by bash, after lib.sh and majors.sh.  Needs root.

# The mirror that this machine's own packages come from.
distribution_mirror()
{
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
		sed -n "s/ $(distribution_suite)\$//p" | head -n 1
}

# The tree of a release; made if it is not there.  Sets TREE.
fetch_tree()
{
	local suite=$1 mirror

	TREE=$CACHE/debian-$suite
	[ ! -f "$TREE.complete" ] || return 0
	[ "$(id -u)" -eq 0 ] || die "a tree of Debian $suite takes root to make"
	say "== fetching Debian $suite into $TREE"
	install_packages debootstrap
	mirror=$(distribution_mirror)
	rm -rf "$TREE"
	mkdir -p "$TREE"
	debootstrap --variant=minbase "$suite" "$TREE" "$mirror" >"$WORK/debootstrap.log" 2>&1 ||
		{ tail -n 20 "$WORK/debootstrap.log" >&2; return 1; }
	rm -f "$TREE"/var/cache/apt/archives/*.deb
	touch "$TREE.complete"
}

# Install packages of another release in a tree, beside what it has.
add_to_tree()
{
	local tree=$1 suite=$2

	shift 2
	in_tree "$tree" bash -c '
		source /checkout/test/lib.sh
		begin_scratch
		sed -n "s/^deb \([^ ]*\) .*/deb \1 $1 main/p" /etc/apt/sources.list >"/etc/apt/sources.list.d/$1.list"
		shift
		install_packages "$@"' add_to_tree "$suite" "$@"
}

# Run a command as root in a tree, with /proc, /dev, /tmp and the checkout, read-only,
# at /checkout; ending it ends all that it started.  With "fresh" before the tree, the
# tree is not changed: what is written goes into memory and is forgotten.
in_tree()
{
	local fresh='' tree

	if [ "$1" = fresh ]; then
		fresh=yes
		shift
	fi
	tree=$1
	shift
	FRESH=$fresh TREE=$tree SCRATCH=$WORK CHECKOUT=$TOP unshare --mount --pid --fork --kill-child bash -c '
		set -e
		root=$TREE
		if [ -n "$FRESH" ]; then
			mkdir -p "$SCRATCH/layer"
			mount -t tmpfs -o mode=755 layer "$SCRATCH/layer"
			mkdir "$SCRATCH/layer/upper" "$SCRATCH/layer/work" "$SCRATCH/layer/root"
			mount -t overlay -o "lowerdir=$TREE,upperdir=$SCRATCH/layer/upper,workdir=$SCRATCH/layer/work" root "$SCRATCH/layer/root"
			root=$SCRATCH/layer/root
		fi
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs -o mode=1777 tmp "$root/tmp"
		mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
		mkdir -p "$root/checkout" "$root/results"
		mount --bind -o ro "$CHECKOUT" "$root/checkout"
		[ -z "$RESULTS" ] || mount --bind "$RESULTS" "$root/results"
		cp /etc/resolv.conf /etc/hosts "$root/etc/"
		cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
		exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 LC_ALL=C.UTF-8 TERM=dumb \
			${SETTINGS:+$SETTINGS} "$@"' in_tree "$@"
}
