# acteon_replay: everything there is to do, by name.
#
#   make                 build the extension and the programs (RELAY=no, HTTP=no: without them; KAFKA=no: a relay
#                        without --sink)
#   make install         install it where PG_CONFIG says
#   make installcheck    run the tests against an installed, running server
#   make demo            from nothing: packages, build, private cluster, an incident
#   make check           from nothing: packages, build, private cluster, all tests
#   make bench           the benchmarks, on private clusters (about an hour)
#   make stub-unit       the tests of the stand-in of the gateway; those with records if PGHOST is set
#   make faults          what must hold whatever goes wrong, on private servers (about 45 minutes)
#   make model           the models of test/model, checked by TLC (about an hour)
#   make sanitize        the programs' tests with sanitizers, and the relay under valgrind
#   make coverage        how much of the code the tests run
#   make mutate          whether the tests notice small changes of the code (about half an hour)
#   make matrix          the tests on PostgreSQL 15 to 18, which it fetches
#   make supply-chain    two builds that have to be the same, hardening, the bill of materials, the units
#   make packages        Debian packages, built and tested in a clean tree
#   make lint            compiler warnings as errors, cppcheck, the layout
#   make format          lay the C code out

EXTENSION = acteon_replay
# The version of the release stands in META.json and nowhere else, that of the SQL in the
# control file: a release that changes no SQL keeps it.  test/versions compares the rest.
RELEASE := $(shell sed -n 's/^	"version": "\(.*\)",$$/\1/p' META.json)
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" acteon_replay.control)
# The script of 1.0 and the ones that lead from it to the present version: CREATE EXTENSION runs them in turn.
DATA = $(sort $(wildcard sql/acteon_replay--*.sql))

MODULE_big = acteon_replay
SOURCES = $(sort $(wildcard src/*.c src/*/*.c))
INCLUDES = $(sort $(wildcard src/*.h src/*/*.h))
# Included as well, but no C of their own.
TABLES = src/base/error_codes.def src/query/options.def
OBJS = $(SOURCES:.c=.o)
# Where it was built is not in what is built: two builds are the same, byte for byte (test/supply-chain).
NO_BUILD_PATH = -ffile-prefix-map=$(CURDIR)=.
PG_CPPFLAGS = -I$(srcdir)/src $(NO_BUILD_PATH)
SHLIB_LINK = -luuid -lcrypto
# Places at which test/faults --seeds stops sessions (src/base/fault_point.h): make FAULT_POINTS=1.
PG_CPPFLAGS += $(if $(FAULT_POINTS),-DACTEON_FAULT_POINTS)

REGRESS = install grants grants_many single bulk action bad_input options numbers replayed lineage queue outcome lanes redrive steer pause_all parts_steer hand_over open judge effective closest_values lost preview patch expire plan approval causes timeline filters audit_records audit_verify replay_all batches states limits policy notify api_keys effect doubts canary help proof target trail $(COLLATION_TEST) audit_tells edge_values neighbours tables
# On a server with ICU; "=", as the server's makefile comes later.
COLLATION_TEST = $(if $(filter yes,$(with_icu)),collation)
REGRESS_OPTS = --outputdir=test/output
ISOLATION = grants_kept grants_seen maintenance race plan_race policy approval single_race lost_race pace_race visibility lease lane limits redrive_race patch_race steer_race pause_all steer_turn parts_race wake api_begin api_key proof_now
ISOLATION_OPTS = --inputdir=test --outputdir=test/output
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl
EXTRA_CLEAN = test/output tmp_check

# Warnings are errors where we build, not where a packager does: make STRICT=1.
ifdef STRICT
# Not ours: the macros of the server's headers do these on purpose.
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
endif

# A packager's own flags, for the programs: PGXS puts the server's into their place.
GIVEN_CFLAGS := $(CFLAGS)
GIVEN_CPPFLAGS := $(CPPFLAGS)
GIVEN_LDFLAGS := $(LDFLAGS)

PG_CONFIG ?= pg_config
# The targets that start from nothing need no server yet.
ifneq ($(filter-out demo check bench sanitize coverage mutate matrix supply-chain packages format relay relay-asan relay-unit http http-asan http-unit stub-unit faults faults-short model model-short,$(or $(MAKECMDGOALS),all)),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
endif

include src/programs/programs.mk

# Scripts for psql's \i and recipes for pg_cron, below pg_config --sharedir.
SCRIPTS_DIR = '$(DESTDIR)$(datadir)/$(EXTENSION)'

# README.md and the pages, beside each other as here, so that their links hold.  PGXS's DOCS would put all of them
# into one directory that other extensions' README.md is in, too.
PAGES = $(sort $(wildcard doc/*.md))
PAGES_DIR = '$(DESTDIR)$(docdir)/$(docmoduledir)/$(EXTENSION)'

install: install-scripts install-pages
uninstall: uninstall-scripts uninstall-pages

# A changed header rebuilds what may include it.
$(OBJS) $(OBJS:.o=.bc): $(INCLUDES) $(TABLES)

.PHONY: demo bench faults faults-short model model-short stub-unit sanitize fuzz coverage mutate matrix supply-chain packages lint format install-scripts uninstall-scripts install-pages uninstall-pages

install-scripts:
	$(MKDIR_P) $(SCRIPTS_DIR)/cron
	$(INSTALL_DATA) sql/psql/*.sql $(SCRIPTS_DIR)
	$(INSTALL_DATA) sql/cron/*.sql $(SCRIPTS_DIR)/cron

uninstall-scripts:
	rm -rf $(SCRIPTS_DIR)

install-pages:
	$(MKDIR_P) $(PAGES_DIR)/doc
	$(INSTALL_DATA) README.md SECURITY.md $(PAGES_DIR)
	$(INSTALL_DATA) $(PAGES) $(PAGES_DIR)/doc

uninstall-pages:
	rm -rf $(PAGES_DIR)

# PGXS has a target of this name, which only says that it is not supported.
ifndef PGXS
.PHONY: check
check:
	test/check
endif

demo:
	test/demo

# With the driver for the database, if there is a Python that has it.
STUB_PYTHON = $(shell for python in python3 /usr/bin/python3; do $$python -c 'import psycopg' 2>/dev/null && break; done; echo $$python)

stub-unit:
	$(STUB_PYTHON) test/gateway/test_stub.py --verbose
	$(STUB_PYTHON) test/gateway/test_answers.py --verbose

# Against what is installed.
faults-short:
	/usr/bin/python3 test/scenarios/test_seeds.py
	/usr/bin/python3 test/scenarios/seeds.py --pg-config $(PG_CONFIG) --short
	/usr/bin/python3 test/scenarios/run.py --pg-config $(PG_CONFIG) --short

faults:
	test/faults

model:
	test/model/check

model-short:
	test/model/check --short

bench:
	test/bench/run
	test/bench/queue
	test/bench/relay
	test/bench/notify
	test/bench/jsonb
	test/bench/trail
	test/bench/verify
	test/bench/grants
	test/bench/causes
	test/bench/patch
	test/bench/http
	test/bench/incident

sanitize:
	test/sanitize

fuzz:
	test/fuzz/run

coverage:
	test/coverage

mutate:
	test/mutate

matrix:
	test/matrix

supply-chain:
	test/supply-chain

packages:
	packaging/build

lint:
	test/lint

format:
	clang-format -i $(SOURCES) $(INCLUDES) $(COMMON_SOURCES) $(COMMON_HEADERS) \
		$(RELAY_SOURCES) $(RELAY_HEADERS) $(HTTP_SOURCES) $(HTTP_HEADERS)
