# The programs beside the extension: acteon-relay and acteon-replay-http.  How
# they are built, installed and tested.  Read by the Makefile.
#
#   make RELAY=no        without the relay, for those without libcurl
#   make HTTP=no         without the HTTP server
#   make KAFKA=no        the relay without --sink, for those without librdkafka
#   make relay           the relay alone; needs libpq, libcurl, libmicrohttpd, librdkafka, yajl, OpenSSL, no server
#   make http            the HTTP server alone; needs libpq, libmicrohttpd, GnuTLS, yajl, OpenSSL
#   make install-programs  install the programs alone, where PROGRAMS_BINDIR,
#                        PROGRAMS_MANDIR and PROGRAMS_UNITDIR say
#   make relay-unit      unit tests of the relay, which print TAP
#   make http-unit       the same of the HTTP server
#   make relay-asan      the relay with the address and undefined-behaviour sanitizers
#   make http-asan       the same of the HTTP server
#   make SANITIZE=1 ...  the same for any of these

RELAY ?= yes
HTTP ?= yes
KAFKA ?= yes

# Packages have the programs in /usr/bin, not beside one server's.  Manual pages go where man(1) looks.  That is PGXS's
# mandir, but for Debian's packages of PostgreSQL: these have a directory of their own for each major, from which pages
# are linked to where man looks.
PROGRAMS_BINDIR ?= $(bindir)
PROGRAMS_MANDIR ?= $(if $(filter %/lib/postgresql/$(MAJORVERSION)/bin,$(bindir)),$(patsubst %/lib/postgresql/$(MAJORVERSION)/bin,%/share/man,$(bindir)),$(mandir))
PROGRAMS_UNITDIR ?= $(docdir)/$(docmoduledir)

COMMON_SOURCES = $(sort $(wildcard src/programs/common/*.c))
COMMON_HEADERS = $(sort $(wildcard src/programs/common/*.h))
COMMON_OBJECTS = $(COMMON_SOURCES:.c=.o)
# What only a relay with Kafka has.
KAFKA_SOURCES = src/programs/relay/check_kafka.c src/programs/relay/kafka.c src/programs/relay/kafka_conf.c src/programs/relay/kafka_judge.c
RELAY_SOURCES = $(filter-out $(if $(filter no,$(KAFKA)),$(KAFKA_SOURCES)),$(sort $(wildcard src/programs/relay/*.c)))
RELAY_HEADERS = $(sort $(wildcard src/programs/relay/*.h))
RELAY_OBJECTS = $(RELAY_SOURCES:.c=.o)
HTTP_SOURCES = $(sort $(wildcard src/programs/http/*.c))
HTTP_HEADERS = $(sort $(wildcard src/programs/http/*.h))
# What a replay can be asked is a table of the extension, and the names of states and targets are its too.
SHARED_TABLES = src/base/error_codes.def src/base/error_codes.h src/base/gateway_number.h src/base/target_name.h src/base/trace_context.h src/query/options.h src/query/options.def src/query/states.h
HTTP_OBJECTS = $(HTTP_SOURCES:.c=.o)
PROGRAM_OBJECTS = $(COMMON_OBJECTS) $(RELAY_OBJECTS) $(HTTP_OBJECTS)

# A packager's CFLAGS, CPPFLAGS and LDFLAGS, from the command line or the environment,
# take the place of ours; what the code needs stands below.
OUR_CFLAGS = -O2 -g -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2 -fPIE
OUR_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed
PROGRAM_CFLAGS ?= $(or $(GIVEN_CFLAGS),$(OUR_CFLAGS))
PROGRAM_CPPFLAGS ?= $(GIVEN_CPPFLAGS)
PROGRAM_LDFLAGS ?= $(or $(GIVEN_LDFLAGS),$(OUR_LDFLAGS))

PROGRAM_FLAGS = -std=gnu11 -D_GNU_SOURCE -DACTEON_VERSION='"$(RELEASE)"' -DEXTENSION_VERSION='"$(EXTVERSION)"' \
	-I$(shell $(PG_CONFIG) --includedir) -Isrc/programs -Isrc $(NO_BUILD_PATH)$(if $(filter no,$(KAFKA)),, -DWITH_KAFKA)
RELAY_LIBS = -L$(shell $(PG_CONFIG) --libdir) -lpq -lcurl -lmicrohttpd$(if $(filter no,$(KAFKA)),, -lrdkafka) -lyajl -lcrypto -lpthread -lm
HTTP_LIBS = -L$(shell $(PG_CONFIG) --libdir) -lpq -lmicrohttpd -lgnutls -lyajl -lcrypto -lpthread
PROGRAM_SANITIZERS = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined
ifdef STRICT
PROGRAM_FLAGS += -Wall -Wextra -Werror -Wshadow=compatible-local -Wpointer-arith -Wvla \
	-Wstrict-prototypes -Wmissing-prototypes -Wimplicit-fallthrough -Wformat-security
endif
ifdef SANITIZE
PROGRAM_CFLAGS := $(PROGRAM_SANITIZERS)
PROGRAM_LDFLAGS :=
endif

EXTRA_CLEAN += acteon-relay acteon-relay.1 acteon-relay.asan acteon-relay-unit \
	acteon-replay-http acteon-replay-http.1 acteon-replay-http.asan acteon-replay-http-unit \
	$(PROGRAM_OBJECTS)

ifneq ($(RELAY),no)
all: relay
install install-programs: install-relay
uninstall: uninstall-relay
endif
ifneq ($(HTTP),no)
all: http
install install-programs: install-http
uninstall: uninstall-http
endif

.PHONY: install-programs relay relay-asan relay-unit install-relay uninstall-relay \
	http http-asan http-unit install-http uninstall-http

relay: acteon-relay acteon-relay.1
http: acteon-replay-http acteon-replay-http.1
relay-asan: acteon-relay.asan
http-asan: acteon-replay-http.asan

$(PROGRAM_OBJECTS): %.o: %.c $(COMMON_HEADERS) $(RELAY_HEADERS) $(HTTP_HEADERS) $(SHARED_TABLES) acteon_replay.control META.json
	$(CC) $(PROGRAM_CPPFLAGS) $(PROGRAM_CFLAGS) $(PROGRAM_FLAGS) -c -o $@ $<

# Parts of the program that are no C.
src/programs/http/openapi.o acteon-replay-http.asan acteon-replay-http-unit: src/programs/http/openapi.json
src/programs/http/page.o acteon-replay-http.asan acteon-replay-http-unit: src/programs/http/page.html

acteon-relay: $(RELAY_OBJECTS) $(COMMON_OBJECTS)
	$(CC) $(PROGRAM_CFLAGS) $(PROGRAM_LDFLAGS) -o $@ $^ $(RELAY_LIBS)

acteon-replay-http: $(HTTP_OBJECTS) $(COMMON_OBJECTS)
	$(CC) $(PROGRAM_CFLAGS) $(PROGRAM_LDFLAGS) -o $@ $^ $(HTTP_LIBS)

acteon-relay.1 acteon-replay-http.1: %.1: %
	./$< --man >$@.tmp
	mv $@.tmp $@

acteon-relay.asan: $(RELAY_SOURCES) $(COMMON_SOURCES) $(RELAY_HEADERS) $(SHARED_TABLES) $(COMMON_HEADERS) acteon_replay.control META.json
	$(CC) $(PROGRAM_SANITIZERS) $(PROGRAM_FLAGS) -o $@ $(filter %.c,$^) $(RELAY_LIBS)

acteon-replay-http.asan: $(HTTP_SOURCES) $(COMMON_SOURCES) $(HTTP_HEADERS) $(SHARED_TABLES) $(COMMON_HEADERS) acteon_replay.control META.json
	$(CC) $(PROGRAM_SANITIZERS) $(PROGRAM_FLAGS) -o $@ $(filter %.c,$^) $(HTTP_LIBS)

acteon-relay-unit: test/relay/unit.c $(if $(filter no,$(KAFKA)),,test/relay/kafka_unit.c test/relay/kafka_unit.h) test/relay/signing_unit.c test/relay/signing_unit.h test/relay/simulate.c test/relay/simulate.h test/tap.c test/tap.h $(filter-out %/main.c,$(RELAY_SOURCES)) $(COMMON_SOURCES) $(RELAY_HEADERS) $(SHARED_TABLES) $(COMMON_HEADERS) acteon_replay.control META.json
	$(CC) $(PROGRAM_SANITIZERS) $(PROGRAM_FLAGS) -Itest -o $@ $(filter %.c,$^) $(RELAY_LIBS)

acteon-replay-http-unit: test/http/unit.c test/tap.c test/tap.h $(filter-out %/main.c,$(HTTP_SOURCES)) $(COMMON_SOURCES) $(HTTP_HEADERS) $(SHARED_TABLES) $(COMMON_HEADERS) acteon_replay.control META.json
	$(CC) $(PROGRAM_SANITIZERS) $(PROGRAM_FLAGS) -Itest -o $@ $(filter %.c,$^) $(HTTP_LIBS)

relay-unit: acteon-relay-unit
	./acteon-relay-unit

http-unit: acteon-replay-http-unit
	./acteon-replay-http-unit

# Install a program: its name, and the folder of its unit file.
define install_program
	$(MKDIR_P) '$(DESTDIR)$(PROGRAMS_BINDIR)' '$(DESTDIR)$(PROGRAMS_MANDIR)/man1' '$(DESTDIR)$(PROGRAMS_UNITDIR)'
	$(INSTALL_PROGRAM) $(1) '$(DESTDIR)$(PROGRAMS_BINDIR)/$(1)'
	$(INSTALL_DATA) $(1).1 '$(DESTDIR)$(PROGRAMS_MANDIR)/man1/$(1).1'
	sed 's|^ExecStart=.*|ExecStart=$(PROGRAMS_BINDIR)/$(1)|' $(2)/$(1).service >'$(DESTDIR)$(PROGRAMS_UNITDIR)/$(1).service'
	chmod 644 '$(DESTDIR)$(PROGRAMS_UNITDIR)/$(1).service'
endef

# Take it away again.
define uninstall_program
	rm -f '$(DESTDIR)$(PROGRAMS_BINDIR)/$(1)' '$(DESTDIR)$(PROGRAMS_MANDIR)/man1/$(1).1' '$(DESTDIR)$(PROGRAMS_UNITDIR)/$(1).service'
endef

install-relay: relay
	$(call install_program,acteon-relay,src/programs/relay)

uninstall-relay:
	$(call uninstall_program,acteon-relay)

install-http: http
	$(call install_program,acteon-replay-http,src/programs/http)

uninstall-http:
	$(call uninstall_program,acteon-replay-http)
