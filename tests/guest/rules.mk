# Bare-metal guest tests: one C file a test, linked with the small runtime in lib/ into a 128 KB ROM.
# real/ and protected/ are 32-bit, long/ is 64-bit.
GUEST = $(B)/tests/guest
GUEST_CC = $(CC)
GUEST_CFLAGS = -std=gnu11 -O1 -Wall -Wextra $(WERROR) -Wno-unused-parameter -ffreestanding -nostdlib -mgeneral-regs-only \
	-fno-pic -fno-pie -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fno-toplevel-reorder -fno-tree-loop-distribute-patterns \
	-Itests/guest/lib
GUEST_LDFLAGS = -z noexecstack --no-warn-rwx-segments
GUEST_32 = -m32 -march=i486
GUEST_64 = -m64 -mno-red-zone -mcmodel=small

GUEST_TESTS_32 = $(wildcard tests/guest/real/*.c tests/guest/protected/*.c)
GUEST_TESTS_64 = $(wildcard tests/guest/long/*.c)
GUEST_ROMS = $(GUEST_TESTS_32:%.c=$(B)/%.bin) $(GUEST_TESTS_64:%.c=$(B)/%.bin)
GUEST_LIB_32 = $(addprefix $(GUEST)/lib32/,boot.o entry32.o runtime.o paging.o second-cpu.o)
GUEST_LIB_64 = $(addprefix $(GUEST)/lib64/,boot.o entry64.o runtime.o paging.o)
GUEST_LD = tests/guest/lib/guest.ld

guest-tests: $(GUEST_ROMS)

run-check run-check-long: guest-tests

check-guest: guest-tests $(B)/vole
	$(Q)tests/guest/run.py --build $(GUEST) --emulator $(B)/vole

# The 32-bit tests on older CPU models, all of them on qemu64.
check-guest-models: guest-tests $(B)/vole
	$(Q)set -e; for cpu in pentium pentium3 qemu32; do \
	    tests/guest/run.py --build $(GUEST) --emulator $(B)/vole --option=-cpu --option=$$cpu \
	        real/ protected/; \
	done; \
	tests/guest/run.py --build $(GUEST) --emulator $(B)/vole --option=-cpu --option=qemu64

check-guest-qemu: guest-tests
	$(Q)tests/guest/run.py --build $(GUEST) --emulator qemu-system-x86_64

$(GUEST)/lib32/%.o: tests/guest/lib/%.c
	$(call say,CC32,$<)
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(GUEST_CFLAGS) $(GUEST_32) -MMD -MP -c -o $@ $<

$(GUEST)/lib64/%.o: tests/guest/lib/%.c
	$(call say,CC64,$<)
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(GUEST_CFLAGS) $(GUEST_64) -MMD -MP -c -o $@ $<

$(GUEST)/lib32/%.o: tests/guest/lib/%.S
	$(call say,AS32,$<)
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) -m32 -MMD -MP -c -o $@ $<

$(GUEST)/lib64/%.o: tests/guest/lib/%.S
	$(call say,AS64,$<)
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) -m64 -MMD -MP -c -o $@ $<

$(GUEST_TESTS_32:%.c=$(B)/%.o): $(B)/%.o: %.c
	$(call say,CC32,$<)
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(GUEST_CFLAGS) $(GUEST_32) -MMD -MP -c -o $@ $<

$(GUEST_TESTS_64:%.c=$(B)/%.o): $(B)/%.o: %.c
	$(call say,CC64,$<)
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(GUEST_CFLAGS) $(GUEST_64) -MMD -MP -c -o $@ $<

$(GUEST_TESTS_32:%.c=$(B)/%.elf): %.elf: %.o $(GUEST_LIB_32) $(GUEST_LD)
	$(Q)$(LD) $(GUEST_LDFLAGS) -m elf_i386 -T $(GUEST_LD) -o $@ $< $(GUEST_LIB_32)

$(GUEST_TESTS_64:%.c=$(B)/%.elf): %.elf: %.o $(GUEST_LIB_64) $(GUEST_LD)
	$(Q)$(LD) $(GUEST_LDFLAGS) -m elf_x86_64 -T $(GUEST_LD) -o $@ $< $(GUEST_LIB_64)

$(GUEST_ROMS): %.bin: %.elf
	$(call say,ROM,$@)
	$(Q)objcopy -O binary --gap-fill 0 -j .text16 -j .program -j .boot $< $@

.PHONY: guest-tests check-guest check-guest-models check-guest-qemu
