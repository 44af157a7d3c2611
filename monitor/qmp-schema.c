/*
 * query-qmp-schema: the table of commands, and the events, as an introspection schema (QEMU's
 * docs/devel/qapi-code-gen, "Client JSON Protocol introspection"). Types are only as deep as the
 * table: objects in results and lists are "any".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>

#include "monitor/qmp-int.h"

static const char *type_name(QmpType type)
{
    static const char *const names[] = {
        [QMP_STR] = "str",     [QMP_INT] = "int", [QMP_BOOL] = "bool",    [QMP_OBJECT] = "any",
        [QMP_ARRAY] = "[any]", [QMP_ANY] = "any", [QMP_NONE] = "q_empty",
    };

    return names[type];
}

static void add_type(json_t *list, const char *name, const char *json_type)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", name, "meta-type", "builtin",
                                          "json-type", json_type));
}

static void add_types(json_t *list)
{
    add_type(list, "str", "string");
    add_type(list, "int", "int");
    add_type(list, "bool", "boolean");
    add_type(list, "any", "value");
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", "[any]", "meta-type", "array",
                                          "element-type", "any"));
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:[]}", "name", "q_empty", "meta-type", "object", "members"));
}

static json_t *members(const QmpCommand *c)
{
    json_t *list = json_array();

    for (const QmpArg *a = c->args; a->name; a++) {
        json_t *m = json_pack("{s:s, s:s}", "name", a->name, "type", type_name(a->type));
        if (a->optional) {
            json_object_set_new(m, "default", json_null());
        }
        json_array_append_new(list, m);
    }
    return list;
}

json_t *qmp_query_schema(json_t *args, Error **errp)
{
    json_t *list = json_array();

    for (const QmpCommand *c = qmp_commands; c->name; c++) {
        char arg_type[80];
        snprintf(arg_type, sizeof(arg_type), "%s-arg", c->name);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name", c->name, "meta-type",
                                              "command", "arg-type", arg_type, "ret-type",
                                              type_name(c->returns)));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", arg_type, "meta-type",
                                              "object", "members", members(c)));
    }
    for (const char *const *e = qmp_events; *e; e++) {
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", *e, "meta-type", "event",
                                              "arg-type", "q_empty"));
    }
    add_types(list);
    return list;
}
