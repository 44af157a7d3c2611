# The instruction oracle: the executor against the host's processor.
#   make check-oracle        a sample of cases a form (under a minute)
#   make check-oracle-jit    the same on the translator, and random programs on host, executor and translator
#   make check-oracle-long   a thousand and more a form, half a million programs, with progress (minutes)
ORACLE_OBJS = $(patsubst %.c,$(B)/%.o,$(wildcard tests/oracle/*.c))

$(B)/tests/oracle/oracle: $(ORACLE_OBJS) $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

check-oracle: $(B)/tests/oracle/oracle
	$(Q)$(B)/tests/oracle/oracle -n 60

check-oracle-jit: $(B)/tests/oracle/oracle
	$(Q)$(B)/tests/oracle/oracle -n 16 -jit
	$(Q)$(B)/tests/oracle/oracle -blocks 100000
	$(Q)$(B)/tests/oracle/oracle -programs 20000

check-oracle-long: $(B)/tests/oracle/oracle
	$(Q)$(B)/tests/oracle/oracle -n 1000 -progress
	$(Q)$(B)/tests/oracle/oracle -programs 500000 -seed 2 -progress

.PHONY: check-oracle check-oracle-jit check-oracle-long
