# Vole's one Makefile: every room's sources are found by wildcard, everything is built into $(B).
B ?= build
CC ?= cc
CFLAGS ?= -O2 -g
WERROR ?= -Werror
VOLE_CFLAGS = -std=gnu11 -Wall -Wextra $(WERROR) -Wstrict-prototypes -Wmissing-prototypes \
	-Wno-unused-parameter -D_GNU_SOURCE -fno-strict-aliasing -fwrapv -pthread -I. -I$(B)
LIBS = -pthread -lz -lpng
ifeq ($(SANITIZE),1)
VOLE_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif
ifneq ($(V),1)
Q = @
say = @printf '  %-7s %s\n' $(1) $(2)
endif

ROOMS = util target-i386 hw block net char audio ui monitor
LIB_SRCS = $(foreach r,$(ROOMS),$(wildcard $(r)/*.c))
LIB_OBJS = $(LIB_SRCS:%.c=$(B)/%.o)
UNIT_SRCS = $(wildcard tests/unit/*/*.c)
UNIT_BINS = $(UNIT_SRCS:%.c=$(B)/%)

all: $(if $(wildcard vl.c),$(B)/vole) $(B)/libvole.a

$(B)/libvole.a: $(LIB_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/vole: $(B)/vl.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(VOLE_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

unit: $(UNIT_BINS)
	@for t in $(UNIT_BINS); do $$t || exit 1; done

include pc-bios/rules.mk

clean:
	rm -rf $(B)

.PHONY: all unit clean
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
