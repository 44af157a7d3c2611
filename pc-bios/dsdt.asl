/*
 * DSDT: the board as ACPI describes it. i440FX host bridge and PCI root, PIIX3 with its interrupt links
 * and the ISA devices behind it, soft-off. Goes through the C preprocessor before iasl.
 * hw/acpi-tables.c sets PMEM at start, and makes an SSDT with the processors.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
DefinitionBlock ("", "DSDT", 2, "VOLE", "VOLEPC", 1)
{
    /* First address of PCI memory; stands for 32 bits so that there is room for any. */
    Name (PMEM, 0xE0000000)

    /* PIIX4 data sheet, PMCNTRL: SUS_TYP 000 is soft off. */
    Name (\_S5, Package () { 0, 0, 0, 0 })

    /* The operating system says whether it uses the 8259s (0) or the I/O APIC (1). */
    Name (\PICM, 0)
    Method (\_PIC, 1) { \PICM = Arg0 }

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (CRES, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0xFF, 0, 0x100)
                IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0xE0000000, 0xFEBFFFFF, 0, 0x1EC00000,,, PMWN)
            })
            Method (_CRS, 0, Serialized)
            {
                CreateDWordField (CRES, \_SB.PCI0.PMWN._MIN, PMIN)
                CreateDWordField (CRES, \_SB.PCI0.PMWN._MAX, PMAX)
                CreateDWordField (CRES, \_SB.PCI0.PMWN._LEN, PLEN)
                PMIN = \PMEM
                PLEN = PMAX - PMIN + 1
                Return (CRES)
            }

            /* The board rotates the pins by slot: slot 1's INTA# is PIRQA#. */
#define PINS(slot, a, b, c, d)                                                                     \
            Package () { slot, 0, a, 0 }, Package () { slot, 1, b, 0 },                            \
            Package () { slot, 2, c, 0 }, Package () { slot, 3, d, 0 }
#define SLOTS_0(n) PINS (n, LNKD, LNKA, LNKB, LNKC)
#define SLOTS_1(n) PINS (n, LNKA, LNKB, LNKC, LNKD)
#define SLOTS_2(n) PINS (n, LNKB, LNKC, LNKD, LNKA)
#define SLOTS_3(n) PINS (n, LNKC, LNKD, LNKA, LNKB)
            Name (_PRT, Package ()
            {
                SLOTS_0 (0x0000FFFF),
                /* In the PIIX3's slot INTA# is the power management function's, wired to the SCI. */
                PINS (0x0001FFFF, LNKS, LNKB, LNKC, LNKD),
                SLOTS_2 (0x0002FFFF), SLOTS_3 (0x0003FFFF),
                SLOTS_0 (0x0004FFFF), SLOTS_1 (0x0005FFFF), SLOTS_2 (0x0006FFFF), SLOTS_3 (0x0007FFFF),
                SLOTS_0 (0x0008FFFF), SLOTS_1 (0x0009FFFF), SLOTS_2 (0x000AFFFF), SLOTS_3 (0x000BFFFF),
                SLOTS_0 (0x000CFFFF), SLOTS_1 (0x000DFFFF), SLOTS_2 (0x000EFFFF), SLOTS_3 (0x000FFFFF),
                SLOTS_0 (0x0010FFFF), SLOTS_1 (0x0011FFFF), SLOTS_2 (0x0012FFFF), SLOTS_3 (0x0013FFFF),
                SLOTS_0 (0x0014FFFF), SLOTS_1 (0x0015FFFF), SLOTS_2 (0x0016FFFF), SLOTS_3 (0x0017FFFF),
                SLOTS_0 (0x0018FFFF), SLOTS_1 (0x0019FFFF), SLOTS_2 (0x001AFFFF), SLOTS_3 (0x001BFFFF),
                SLOTS_0 (0x001CFFFF), SLOTS_1 (0x001DFFFF), SLOTS_2 (0x001EFFFF), SLOTS_3 (0x001FFFFF)
            })

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 4)

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 1, 2)
                        IRQNoFlags () { 8 }
                    })
                }
                Device (TIMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0040, 0x0040, 1, 4)
                        IRQNoFlags () { 0 }
                    })
                }
                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0020, 0x0020, 1, 2)
                        IO (Decode16, 0x00A0, 0x00A0, 1, 2)
                        IO (Decode16, 0x04D0, 0x04D0, 1, 2)
                        IRQNoFlags () { 2 }
                    })
                }
                Device (SPKR)
                {
                    Name (_HID, EisaId ("PNP0800"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0061, 0x0061, 1, 1)
                    })
                }
                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 1, 1)
                        IO (Decode16, 0x0064, 0x0064, 1, 1)
                        IRQNoFlags () { 1 }
                    })
                }
                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_CRS, ResourceTemplate () { IRQNoFlags () { 12 } })
                }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F8, 0x03F8, 0, 8)
                        IRQNoFlags () { 4 }
                    })
                }
                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x02F8, 0x02F8, 0, 8)
                        IRQNoFlags () { 3 }
                    })
                }
            }
        }

        /* PIIX3 data sheet, PIRQRC[A:D]: bit 7 set is off, bits 3-0 the IRQ. */
        Field (PCI0.ISA.PIRQ, ByteAcc, NoLock, Preserve)
        {
            PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8
        }
        Method (LSTA, 1)
        {
            If (Arg0 & 0x80) { Return (0x09) }
            Return (0x0B)
        }
        Name (LRES, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 0 }
        })
        Method (LCRS, 1, Serialized)
        {
            CreateDWordField (LRES, 0x05, LIRQ)
            If (!(Arg0 & 0x80)) { LIRQ = Arg0 & 0x0F }
            Return (LRES)
        }
#define LINK(name, uid, reg)                                                                       \
        Device (name)                                                                              \
        {                                                                                          \
            Name (_HID, EisaId ("PNP0C0F"))                                                        \
            Name (_UID, uid)                                                                       \
            Name (_PRS, ResourceTemplate ()                                                        \
            {                                                                                      \
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }              \
            })                                                                                     \
            Method (_STA, 0) { Return (LSTA (reg)) }                                               \
            Method (_DIS, 0) { reg |= 0x80 }                                                       \
            Method (_CRS, 0) { Return (LCRS (reg)) }                                               \
            Method (_SRS, 1)                                                                       \
            {                                                                                      \
                CreateDWordField (Arg0, 0x05, SIRQ)                                                \
                reg = SIRQ                                                                         \
            }                                                                                      \
        }
        LINK (LNKA, 1, PRQA)
        LINK (LNKB, 2, PRQB)
        LINK (LNKC, 3, PRQC)
        LINK (LNKD, 4, PRQD)

        /* The system control interrupt is IRQ 9 and stays there. */
        Device (LNKS)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 5)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 9 }
            })
            Method (_STA, 0) { Return (0x0B) }
            Method (_DIS, 0) { }
            Method (_CRS, 0) { Return (_PRS) }
            Method (_SRS, 1) { }
        }
    }
}
