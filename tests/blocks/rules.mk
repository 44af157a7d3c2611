# Random programs on translator and executor side by side.
#   make check-blocks        200,000 blocks
#   make check-blocks-long   10 million
BLOCKS_OBJS = $(B)/tests/blocks/blocks.o $(B)/tests/oracle/generate.o $(B)/tests/oracle/program.o

$(B)/tests/blocks/blocks: $(BLOCKS_OBJS) $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

check-blocks: $(B)/tests/blocks/blocks
	$(Q)$(B)/tests/blocks/blocks -blocks 200000

check-blocks-long: $(B)/tests/blocks/blocks
	$(Q)$(B)/tests/blocks/blocks -blocks 10000000 -seed 2 -progress

.PHONY: check-blocks check-blocks-long
