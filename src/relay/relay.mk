# acteon-relay: how it is built, installed and tested.  Read by the Makefile.
#
#   make RELAY=no        everything but the relay, for those without libcurl
#   make relay           the relay alone; needs libpq, libcurl, OpenSSL, no server
#   make relay-unit      its unit tests, which print TAP
#   make relay-asan      the relay with the address and undefined-behaviour sanitizers
#   make SANITIZE=1 ...  the same for any of these

RELAY ?= yes
RELAY_DIR = src/relay
RELAY_SOURCES = $(sort $(wildcard $(RELAY_DIR)/*.c))
RELAY_HEADERS = $(sort $(wildcard $(RELAY_DIR)/*.h))
RELAY_OBJECTS = $(RELAY_SOURCES:.c=.o)
RELAY_UNIT_SOURCES = test/relay/unit.c $(filter-out $(RELAY_DIR)/main.c,$(RELAY_SOURCES))

# A packager's own flags go here; what the code needs stands below.
RELAY_CFLAGS ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
RELAY_LDFLAGS ?= -pie -Wl,-z,relro,-z,now -Wl,--as-needed

RELAY_FLAGS = -std=gnu11 -D_GNU_SOURCE -DACTEON_VERSION='"$(EXTVERSION)"' \
	-I$(shell $(PG_CONFIG) --includedir)
RELAY_LIBS = -L$(shell $(PG_CONFIG) --libdir) -lpq -lcurl -lcrypto
RELAY_SANITIZERS = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined
ifdef STRICT
RELAY_FLAGS += -Wall -Wextra -Werror -Wshadow=compatible-local -Wpointer-arith -Wvla \
	-Wstrict-prototypes -Wmissing-prototypes -Wimplicit-fallthrough -Wformat-security
endif
ifdef SANITIZE
RELAY_CFLAGS := $(RELAY_SANITIZERS)
RELAY_LDFLAGS :=
endif

EXTRA_CLEAN += acteon-relay acteon-relay.1 acteon-relay.asan acteon-relay-unit $(RELAY_OBJECTS)

ifneq ($(RELAY),no)
all: acteon-relay acteon-relay.1
install: install-relay
uninstall: uninstall-relay
endif

.PHONY: relay relay-asan relay-unit install-relay uninstall-relay

relay: acteon-relay acteon-relay.1
relay-asan: acteon-relay.asan

$(RELAY_OBJECTS): $(RELAY_DIR)/%.o: $(RELAY_DIR)/%.c $(RELAY_HEADERS) acteon_replay.control
	$(CC) $(RELAY_CFLAGS) $(RELAY_FLAGS) -c -o $@ $<

acteon-relay: $(RELAY_OBJECTS)
	$(CC) $(RELAY_CFLAGS) $(RELAY_LDFLAGS) -o $@ $(RELAY_OBJECTS) $(RELAY_LIBS)

acteon-relay.1: acteon-relay
	./acteon-relay --man >$@.tmp
	mv $@.tmp $@

acteon-relay.asan: $(RELAY_SOURCES) $(RELAY_HEADERS) acteon_replay.control
	$(CC) $(RELAY_SANITIZERS) $(RELAY_FLAGS) -o $@ $(RELAY_SOURCES) $(RELAY_LIBS)

acteon-relay-unit: $(RELAY_UNIT_SOURCES) $(RELAY_HEADERS) acteon_replay.control
	$(CC) $(RELAY_SANITIZERS) $(RELAY_FLAGS) -I$(RELAY_DIR) -o $@ $(RELAY_UNIT_SOURCES) $(RELAY_LIBS)

relay-unit: acteon-relay-unit
	./acteon-relay-unit

install-relay: acteon-relay acteon-relay.1
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(mandir)/man1' '$(DESTDIR)$(docdir)/$(docmoduledir)'
	$(INSTALL_PROGRAM) acteon-relay '$(DESTDIR)$(bindir)/acteon-relay'
	$(INSTALL_DATA) acteon-relay.1 '$(DESTDIR)$(mandir)/man1/acteon-relay.1'
	sed 's|^ExecStart=.*|ExecStart=$(bindir)/acteon-relay|' $(RELAY_DIR)/acteon-relay.service \
		>'$(DESTDIR)$(docdir)/$(docmoduledir)/acteon-relay.service'
	chmod 644 '$(DESTDIR)$(docdir)/$(docmoduledir)/acteon-relay.service'

uninstall-relay:
	rm -f '$(DESTDIR)$(bindir)/acteon-relay' '$(DESTDIR)$(mandir)/man1/acteon-relay.1' \
		'$(DESTDIR)$(docdir)/$(docmoduledir)/acteon-relay.service'
