# Snapshots of whole machines (tests/snapshots/run). Their bare-metal guest is made like those of tests/guest.
$(B)/tests/snapshots/%.o: tests/snapshots/%.c
	$(call say,CC32,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -Itests/guest/lib -m32 -march=i486 -MMD -MP -c -o $@ $<

$(B)/tests/snapshots/transfers.elf: $(B)/tests/snapshots/transfers.o $(GUEST_LIB_32) tests/guest/lib/guest.ld
	$(Q)$(LD) -z noexecstack --no-warn-rwx-segments -m elf_i386 -T tests/guest/lib/guest.ld -o $@ $< $(GUEST_LIB_32)

$(B)/tests/snapshots/transfers.bin: $(B)/tests/snapshots/transfers.elf
	$(call say,ROM,$@)
	$(Q)objcopy -O binary --gap-fill 0 -j .text16 -j .program -j .boot $< $@

check-snapshots: all $(B)/tests/snapshots/transfers.bin
	$(Q)tests/snapshots/run $(B)/vole

check-snapshots-long: all $(B)/tests/snapshots/transfers.bin
	$(Q)tests/snapshots/run --cycles 200 $(B)/vole

.PHONY: check-snapshots check-snapshots-long
