# Vole's one Makefile: every room's sources are found by wildcard, everything is built into $(B).
#
#   make              build/vole, build/vole-img and their links
#   make demo         set up, build, boot Linux to a shell on this terminal
#   make check        set up, build, run the tests        make check-long   the long ones too
#   make bench        set up, build, measure side by side with this machine and the distribution's QEMU
#   make bench-img    vole-img beside qemu-img; bench-snapshots: savevm and loadvm beside QEMU's
#   make install      DESTDIR=, see ./configure --prefix
#   V=1 shows commands; SANITIZE=1 builds with ASan and UBSan into build-sanitize
#
# SPDX-License-Identifier: GPL-2.0-or-later

B ?= $(if $(filter 1,$(SANITIZE)),build-sanitize,build)
all:
ifneq ($(V),1)
Q = @
MAKEFLAGS += --no-print-directory
say = @printf '  %-7s %s\n' $(1) $(2)
endif

# ---- the commands that set the machine up first; they call make again when that is done ----
SETUP_GOALS = demo check check-long bench
ifneq ($(filter $(SETUP_GOALS),$(MAKECMDGOALS)),)

$(SETUP_GOALS):
	$(Q)scripts/setup $@
	$(Q)$(MAKE) run-$@

.PHONY: $(SETUP_GOALS)
else
# ---- everything else ----

ifeq ($(filter clean distclean,$(MAKECMDGOALS)),)
include config.mk
endif

config.mk config.h: configure
	./configure

CFLAGS ?= -O2 -g
VOLE_CFLAGS = -std=gnu11 -Wall -Wextra $(WERROR) -Wstrict-prototypes -Wmissing-prototypes \
	-Wno-unused-parameter -D_GNU_SOURCE -fno-strict-aliasing -fwrapv -pthread -I. -I$(B) $(CONFIG_CFLAGS)
LIBS = -pthread $(CONFIG_LIBS) -lm
ifeq ($(SANITIZE),1)
# Guest operands lie at any address, and so do the host's accesses to them.
VOLE_CFLAGS += -fsanitize=address,undefined -fno-sanitize=alignment -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif

ROOMS = util target-i386 hw block net char audio ui snapshot monitor gdbstub
# What needs a library that is not there has a file that says so in its place.
LEFT_OUT = $(if $(CONFIG_GCRYPT),block/cipher-none.c,block/cipher.c) \
	$(if $(CONFIG_VTERM),ui/vc-none.c,ui/vc.c) \
	$(if $(CONFIG_CURL),,block/curl.c) $(if $(CONFIG_RBD),,block/rbd.c) \
	$(if $(CONFIG_JANSSON),monitor/qmp-none.c,$(filter-out monitor/qmp-none.c,$(wildcard monitor/qmp*.c)))
LIB_SRCS = $(filter-out $(LEFT_OUT),$(foreach r,$(ROOMS),$(wildcard $(r)/*.c)))
LIB_OBJS = $(LIB_SRCS:%.c=$(B)/%.o)
UNIT_SRCS = $(wildcard tests/unit/*/*.c)
UNIT_BINS = $(UNIT_SRCS:%.c=$(B)/%)
VOLE_LINKS = qemu qemu-system-i386 qemu-system-x86_64
IMG_LINKS = qemu-img vole-nbd qemu-nbd

all: $(B)/libvole.a $(if $(wildcard vl.c),$(B)/vole $(VOLE_LINKS:%=$(B)/%) $(B)/vole.1) \
	$(B)/vole-img $(IMG_LINKS:%=$(B)/%) $(B)/vole-img.1

$(B)/libvole.a: $(LIB_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/vole: $(B)/vl.o $(B)/vl-options.o $(B)/vl-compat.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(VOLE_LINKS:%=$(B)/%): $(B)/vole
	$(Q)ln -sf vole $@

$(B)/vole-img: $(B)/vole-img.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(IMG_LINKS:%=$(B)/%): $(B)/vole-img
	$(Q)ln -sf vole-img $@

# The manual pages: a frame, and the options from the program's own tables.
$(B)/vole.1: $(B)/vole docs/vole.1.in
	$(call say,MAN,$@)
	$(Q)$(B)/vole -help-manual >$@.options && \
	sed -e 's/@VERSION@/$(VERSION)/' -e '/@OPTIONS@/{r $@.options' -e 'd}' docs/vole.1.in >$@

$(B)/vole-img.1: $(B)/vole-img docs/vole-img.1.in
	$(call say,MAN,$@)
	$(Q)$(B)/vole-img --help-manual >$@.options && \
	sed -e 's/@VERSION@/$(VERSION)/' -e '/@COMMANDS@/{r $@.options' -e 'd}' docs/vole-img.1.in >$@

$(B)/%.o: %.c config.h
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(VOLE_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

unit: $(UNIT_BINS)
	@for t in $(UNIT_BINS); do $$t || exit 1; done

-include $(wildcard pc-bios/rules.mk tests/*/rules.mk)

# ---- running things ----
run-demo: all
	$(Q)scripts/demo $(B)

run-check: all $(UNIT_BINS)
	$(Q)tests/run $(B)

run-check-long: all $(UNIT_BINS)
	$(Q)tests/run --long $(B)

# Needs an otherwise idle machine. What is slow is said, but fails nothing.
run-bench: all
	$(Q)tests/bench/kernels.py --runs 2 $(B)/vole
	$(Q)tests/bench/boot.py $(B)/vole
	$(Q)tests/bench/parallel.py $(B)/vole
	$(Q)tests/bench/latency.py $(B)/vole

# Serial lines on the wire.
bench-links: all
	$(Q)tests/bench/links.py $(B)/vole

# savevm and loadvm: how long the guest stands still, and all of it.
bench-snapshots: all
	$(Q)tests/bench/snapshots.py $(B)/vole

report-size:
	$(Q)scripts/report-size

# ---- installing ----
bindir = $(DESTDIR)$(PREFIX)/bin
datadir = $(DESTDIR)$(PREFIX)/share/vole
mandir = $(DESTDIR)$(PREFIX)/share/man/man1

install: all
	install -d $(bindir) $(datadir) $(mandir)
	install -m 755 $(B)/vole $(bindir)/vole
	for l in $(VOLE_LINKS); do ln -sf vole $(bindir)/$$l; done
	install -m 755 $(B)/vole-img $(bindir)/vole-img
	for l in $(IMG_LINKS); do ln -sf vole-img $(bindir)/$$l; done
	install -m 644 $(PC_BIOS_ROMS) $(datadir)/
	install -m 644 $(B)/vole.1 $(mandir)/vole.1
	install -m 644 $(B)/vole-img.1 $(mandir)/vole-img.1

uninstall:
	rm -f $(bindir)/vole $(VOLE_LINKS:%=$(bindir)/%) $(bindir)/vole-img $(IMG_LINKS:%=$(bindir)/%) \
		$(mandir)/vole.1 $(mandir)/vole-img.1
	rm -rf $(datadir)

clean:
	rm -rf build build-sanitize

distclean: clean
	rm -f config.mk config.h

.PHONY: all unit run-demo run-check run-check-long run-bench bench-links bench-snapshots report-size install uninstall clean distclean
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find $(B) -path $(B)/guests -prune -o -name '*.d' -type f -print 2>/dev/null)
endif
