# acteon_replay: everything there is to do, by name.
#
#   make                 build the extension
#   make install         install it where PG_CONFIG says
#   make installcheck    run the tests against an installed server
#   make check           everything from nothing: packages, build, private cluster, tests
#   make demo            the same, and a walk through an incident
#   make bench           the benchmarks (long)
#   make format lint     lay the C code out; check it

EXTENSION = acteon_replay
# The control file is the only place where the version is written.
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" acteon_replay.control)
DATA = sql/acteon_replay--$(EXTVERSION).sql

MODULE_big = acteon_replay
SOURCES = $(sort $(wildcard src/*.c))
OBJS = $(SOURCES:.c=.o)
SHLIB_LINK = -luuid

REGRESS = install grants single bulk action bad_input replayed lineage tables
REGRESS_OPTS = --inputdir=. --outputdir=test/output
ISOLATION = race single_race visibility
ISOLATION_OPTS = --inputdir=test --outputdir=test/output
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl
EXTRA_CLEAN = test/output tmp_check

# Warnings are errors where we build, not where a packager does: make STRICT=1
ifdef STRICT
# Not ours: macros of the server's headers do these on purpose.
PG_CFLAGS += -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
endif

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
