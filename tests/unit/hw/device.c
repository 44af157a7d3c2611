/*
 * Devices: properties and their defaults, the tree, resets in order, a realize that fails,
 * -device's errors.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/device.h"

#include <stdlib.h>

#include "util/buffer.h"

#include "../test.h"

typedef struct Gadget {
    Device dev;
    bool fast;
    uint8_t irq;
    uint16_t port;
    uint32_t count;
    uint64_t wide, size;
    char *label;
    uint32_t reg;
} Gadget;

static char events[256];
static bool realize_fails;

static bool gadget_realize(Device *dev, Error **errp)
{
    strcat(events, "realize ");
    if (realize_fails) {
        error_set(errp, "gadget: out of luck");
    }
    return !realize_fails;
}

static void gadget_reset(Device *dev)
{
    sprintf(events + strlen(events), "reset-%s ", dev->id);
    ((Gadget *)dev)->reg = 0;
}

static void gadget_unrealize(Device *dev)
{
    sprintf(events + strlen(events), "unrealize-%s ", dev->id);
}

static const VMStateField gadget_fields[] = {VMSTATE_U32(reg, Gadget), VMSTATE_END};
static const VMState gadget_vmstate = {.name = "gadget", .version = 1, .fields = gadget_fields};

static const Property gadget_props[] = {
    PROPERTY("fast", PROP_BOOL, Gadget, fast, "on", "go faster"),
    PROPERTY("irq", PROP_U8, Gadget, irq, "5", "interrupt"),
    PROPERTY("port", PROP_U16, Gadget, port, "0x300", "first port"),
    PROPERTY("count", PROP_U32, Gadget, count, NULL, "how many"),
    PROPERTY("wide", PROP_U64, Gadget, wide, NULL, "a wide number"),
    PROPERTY("size", PROP_SIZE, Gadget, size, "2M", "bytes"),
    PROPERTY("label", PROP_STRING, Gadget, label, "none", "what it says"),
    PROPERTY_END,
};

static const DeviceClass gadget_class = {
    .name = "gadget",
    .desc = "a gadget",
    .bus = "isa",
    .size = sizeof(Gadget),
    .props = gadget_props,
    .vmstate = &gadget_vmstate,
    .realize = gadget_realize,
    .reset = gadget_reset,
    .unrealize = gadget_unrealize,
};

static const DeviceClass plain_class = {.name = "plain", .bus = "isa", .size = sizeof(Device)};

static void properties(void)
{
    Gadget *g = (Gadget *)device_new(&gadget_class, NULL, "g");
    Error *err = NULL;
    char *text;

    CHECK(g->fast && g->irq == 5 && g->port == 0x300 && g->count == 0 && g->size == 2 << 20);
    CHECK_STR(g->label, "none");
    CHECK(device_set_property(&g->dev, "fast", "no", NULL) && !g->fast);
    CHECK(device_set_property(&g->dev, "irq", "255", NULL) && g->irq == 255);
    CHECK(device_set_property(&g->dev, "wide", "0xffffffffffffffff", NULL) &&
          g->wide == UINT64_MAX);
    CHECK(device_set_property(&g->dev, "size", "3k", NULL) && g->size == 3072);
    CHECK(device_set_property(&g->dev, "label", "two words", NULL));
    CHECK_STR(g->label, "two words");
    CHECK_STR(text = device_property_text(&g->dev, &gadget_props[6]), "two words");
    free(text);
    CHECK_STR(text = device_property_text(&g->dev, &gadget_props[0]), "off");
    free(text);
    CHECK_STR(text = device_property_text(&g->dev, &gadget_props[2]), "768");
    free(text);

    CHECK(!device_set_property(&g->dev, "irq", "256", &err));
    CHECK(strstr(error_text(err), "gadget: irq") && strstr(error_text(err), "256"));
    error_free(err);
    CHECK_EQ(g->irq, 255);
    err = NULL;
    CHECK(!device_set_property(&g->dev, "fats", "on", &err));
    CHECK_STR(error_text(err), "gadget: unknown property 'fats': did you mean 'fast'?");
    error_free(err);
    err = NULL;
    CHECK(device_realize(&g->dev, NULL));
    CHECK(!device_set_property(&g->dev, "fast", "on", &err));
    error_free(err);
    device_unrealize(&g->dev);
}

static void add_id(Device *dev, int depth, void *opaque)
{
    sprintf((char *)opaque + strlen(opaque), "%d:%s ", depth, dev->id);
}

static void the_tree_and_resets(void)
{
    char tree[256] = "";
    Device *a = device_new(&gadget_class, NULL, NULL);
    Device *b = device_new(&gadget_class, a, NULL);
    Device *c = device_new(&plain_class, NULL, "c");

    CHECK_STR(a->id, "gadget");
    CHECK_STR(b->id, "gadget.1");
    events[0] = 0;
    device_realize_or_die(a);
    device_realize_or_die(b);
    device_realize_or_die(c);
    CHECK_STR(events, "realize reset-gadget realize reset-gadget.1 ");
    device_each(add_id, tree);
    CHECK_STR(tree, "0:gadget 1:gadget.1 0:c ");
    CHECK(device_find("gadget.1") == b && device_find("c") == c && !device_find("d"));
    CHECK(device_root()->children == a);

    /* State is registered under the device's id. */
    Buffer saved = {0};
    ((Gadget *)b)->reg = 42;
    vmstate_save_all(&saved);
    events[0] = 0;
    devices_reset();
    CHECK_STR(events, "reset-gadget reset-gadget.1 ");
    CHECK_EQ(((Gadget *)b)->reg, 0);
    Reader r = {.data = saved.data, .size = saved.size};
    CHECK(vmstate_load_all(&r, NULL));
    CHECK_EQ(((Gadget *)b)->reg, 42);
    CHECK_EQ(((Gadget *)a)->reg, 0);
    buffer_free(&saved);

    events[0] = 0;
    device_unrealize(a);
    CHECK_STR(events, "unrealize-gadget.1 unrealize-gadget ");
    CHECK(!device_find("gadget") && !device_find("gadget.1") && device_find("c"));
    device_unrealize(c); /* has no unrealize: stays */
    CHECK(device_find("c") == c);
}

static void a_failed_realize_leaves_nothing(void)
{
    Error *err = NULL;
    Device *dev = device_new(&gadget_class, NULL, "unlucky");

    realize_fails = true;
    CHECK(!device_realize(dev, &err));
    realize_fails = false;
    CHECK_STR(error_text(err), "gadget: out of luck");
    error_free(err);
    CHECK(device_find("unlucky") == NULL);
}

static void hook(void *opaque)
{
    strcat(events, opaque);
}

static void hooks_run_after_the_devices(void)
{
    Device *dev = device_new(&gadget_class, NULL, "x");

    device_realize_or_die(dev);
    reset_register(hook, "first ");
    reset_register(hook, "second ");
    events[0] = 0;
    devices_reset();
    CHECK_STR(events, "reset-x first second ");
    device_unrealize(dev);
}

static void check_add_fails(const char *spec, const char *part)
{
    Error *err = NULL;

    CHECK(device_add(spec, &err) == NULL);
    CHECK(err != NULL);
    if (!strstr(error_text(err), part)) {
        CHECK_STR(error_text(err), part);
    }
    error_free(err);
}

static void wrong_device_options(void)
{
    check_add_fails("", "name is missing");
    check_add_fails("id=x", "name is missing");
    check_add_fails("i8254", "part of the board");
    check_add_fails("no-such-thing", "'-device help' lists them");
    CHECK(device_class_find("i8254") != NULL);
    CHECK(device_class_find("i8255") == NULL);
}

static void classes_are_sound(void)
{
    for (const DeviceClass *const *entry = device_classes; *entry; entry++) {
        CHECK((*entry)->name && (*entry)->desc && (*entry)->bus);
        CHECK((*entry)->size >= sizeof(Device));
        CHECK(device_class_find((*entry)->name) == *entry); /* no name twice */
    }
}

TESTS(TEST(properties), TEST(the_tree_and_resets), TEST(a_failed_realize_leaves_nothing),
      TEST(hooks_run_after_the_devices), TEST(wrong_device_options), TEST(classes_are_sound))
