/* ONNX file -> graph as written. Names become tensor numbers, operators become enum mien_op; Identity, Dropout and
 * Constant go away; variadic Sum, Min and Max become chains of two-operand nodes. */
#include "onnx/proto.h"
#include "onnx/passes.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MIN_OPSET = 7, MAX_OPSET = 21, MAX_NAME = 200 };

/* Names by raw bytes (they may hold anything); open addressing, grown at half full. */
struct name_table { struct name_slot { struct mien_wire key; int id; } *slot; size_t cap, used; };

struct reader {
    struct mien_graph *g;
    struct mien_err *e;
    struct mien_wire graph;
    struct name_table names;
    unsigned char *defined; /* per tensor: 1 = constant, input or some node's output */
    size_t defined_cap;
};

static uint64_t hash_of(struct mien_wire w)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (const unsigned char *p = w.p; p < w.end; p++) h = (h ^ *p) * 0x100000001b3u;
    return h ^ h >> 29;
}

static struct name_slot *slot_of(struct name_table *t, struct mien_wire key)
{
    size_t i = hash_of(key) & (t->cap - 1), len = mien_wire_len(key);
    for (;; i = (i + 1) & (t->cap - 1)) {
        struct name_slot *s = &t->slot[i];
        if (s->key.p == NULL) return s;
        if (mien_wire_len(s->key) == len && memcmp(s->key.p, key.p, len) == 0) return s;
    }
}

static bool grow_names(struct name_table *t)
{
    if (t->used * 2 < t->cap) return true;
    struct name_table wider = {.cap = t->cap == 0 ? 256 : 2 * t->cap, .used = t->used};
    wider.slot = calloc(wider.cap, sizeof *wider.slot);
    if (wider.slot == NULL) return false;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slot[i].key.p != NULL) *slot_of(&wider, t->slot[i].key) = t->slot[i];
    free(t->slot);
    *t = wider;
    return true;
}

/* Text for messages and outputs: at most MAX_NAME bytes, control bytes as '?'. NULL when out of memory. */
static const char *text_of(struct mien_graph *g, struct mien_wire w)
{
    size_t n = mien_wire_len(w) < MAX_NAME ? mien_wire_len(w) : MAX_NAME;
    char *s = mien_arena_strndup(g->own->arena, (const char *)w.p, n);
    for (size_t i = 0; s != NULL && i < n; i++)
        if ((unsigned char)s[i] < 32 || s[i] == 127) s[i] = '?';
    return s;
}

static const char *shown(struct mien_graph *g, struct mien_wire w)
{
    const char *s = text_of(g, w);
    return s != NULL ? s : "?";
}

/* The tensor of that name, made when new; -1 when out of memory or beyond MIEN_MAX_TENSORS. */
static int tensor_named(struct reader *r, struct mien_wire name)
{
    if (!grow_names(&r->names)) return -1;
    struct name_slot *s = slot_of(&r->names, name);
    if (s->key.p == NULL) {
        const char *text = text_of(r->g, name);
        int id = text == NULL ? -1 : mien_graph_tensor(r->g, text);
        if (id < 0) return -1;
        *s = (struct name_slot){name, id};
        r->names.used++;
    }
    return s->id;
}

static bool mark_defined(struct reader *r, int id, bool *already)
{
    if ((size_t)id >= r->defined_cap) {
        size_t cap = r->defined_cap == 0 ? 1024 : r->defined_cap;
        while (cap <= (size_t)id) cap *= 2;
        unsigned char *p = realloc(r->defined, cap);
        if (p == NULL) return false;
        memset(p + r->defined_cap, 0, cap - r->defined_cap);
        r->defined = p;
        r->defined_cap = cap;
    }
    *already = r->defined[id];
    r->defined[id] = 1;
    return true;
}
static bool is_defined(const struct reader *r, int id) { return (size_t)id < r->defined_cap && r->defined[id]; }

/* Why a node or a tensor could not be added. */
static enum mien_code full(const struct reader *r)
{
    MIEN_FAIL_IF(r->g->n_nodes >= MIEN_MAX_NODES, r->e, MIEN_E_LIMIT, "more than %d nodes", MIEN_MAX_NODES);
    MIEN_FAIL_IF(r->g->n_tensors >= MIEN_MAX_TENSORS, r->e, MIEN_E_LIMIT, "more than %d tensors", MIEN_MAX_TENSORS);
    return MIEN_NO_MEMORY(r->e);
}

static enum mien_code define(struct reader *r, int id)
{
    bool already;
    if (id < 0 || !mark_defined(r, id, &already)) return full(r);
    MIEN_FAIL_IF(already, r->e, MIEN_E_ONNX_FORMAT, "tensor %.80s is defined twice", r->g->tensor[id].name);
    return MIEN_OK;
}

/* The string or message field `number` of a message; the empty span when absent. */
static struct mien_wire member(struct mien_wire message, uint32_t number)
{
    struct mien_wire found = {message.p, message.p};
    struct mien_field f;
    while (mien_wire_next(&message, &f) > 0)
        if (f.number == number && f.type == MIEN_WIRE_BYTES) found = f.bytes;
    return found;
}

static enum mien_code check_message(struct mien_wire w, const char *what, struct mien_err *e)
{
    struct mien_field f;
    int got;
    while ((got = mien_wire_next(&w, &f)) > 0) {}
    MIEN_FAIL_IF(got < 0, e, MIEN_E_ONNX_FORMAT, "malformed %s", what);
    return MIEN_OK;
}

static enum mien_code read_initializer(struct reader *r, struct mien_wire message)
{
    MIEN_TRY(check_message(message, "initializer", r->e));
    struct mien_wire name = member(message, 8);
    int id = tensor_named(r, name);
    MIEN_TRY(define(r, id));
    char what[128];
    snprintf(what, sizeof what, "initializer %.80s", r->g->tensor[id].name);
    return mien_proto_tensor(r->g, message, id, what, r->e);
}

/* Declared type and shape of an input; symbolic, absent, zero and negative dimensions are "unknown". */
static enum mien_code read_value_type(struct reader *r, struct mien_wire info, struct mien_tensor *t)
{
    struct mien_wire type = member(member(info, 2), 1), shape = {info.p, info.p};
    MIEN_TRY(check_message(type, "value type", r->e));
    struct mien_field f;
    bool has_shape = false;
    while (mien_wire_next(&type, &f) > 0) {
        if (f.number == 1) t->type = mien_proto_elem(f.value);
        if (f.number == 2 && f.type == MIEN_WIRE_BYTES) {
            shape = f.bytes;
            has_shape = true;
        }
    }
    MIEN_FAIL_IF(t->type == MIEN_ELEM_NONE, r->e, MIEN_E_ONNX_UNSUPPORTED, "input %.80s: its type is not supported", t->name);
    if (!has_shape) return MIEN_OK;
    MIEN_TRY(check_message(shape, "shape", r->e));
    t->shape.rank = 0;
    while (mien_wire_next(&shape, &f) > 0) {
        if (f.number != 1 || f.type != MIEN_WIRE_BYTES) continue;
        MIEN_FAIL_IF(t->shape.rank == MIEN_MAX_RANK, r->e, MIEN_E_ONNX_UNSUPPORTED, "input %.80s: more than %d dimensions", t->name, MIEN_MAX_RANK);
        struct mien_wire dim = f.bytes;
        struct mien_field d;
        int64_t value = -1;
        while (mien_wire_next(&dim, &d) > 0)
            if (d.number == 1 && d.type == MIEN_WIRE_VARINT) value = (int64_t)d.value;
        t->shape.dim[t->shape.rank++] = value > 0 && value <= INT32_MAX ? value : -1;
    }
    return MIEN_OK;
}

static enum mien_code append_id(struct reader *r, int **list, int *n, int id)
{
    if ((*n & (*n - 1)) == 0) { /* at powers of two */
        int *wider = mien_graph_alloc(r->g, sizeof **list * (size_t)(*n == 0 ? 1 : 2 * *n));
        if (wider == NULL) return MIEN_NO_MEMORY(r->e);
        if (*n > 0) memcpy(wider, *list, sizeof **list * (size_t)*n);
        *list = wider;
    }
    (*list)[(*n)++] = id;
    return MIEN_OK;
}

static enum mien_code read_input(struct reader *r, struct mien_wire info)
{
    MIEN_TRY(check_message(info, "input", r->e));
    int id = tensor_named(r, member(info, 1));
    if (id >= 0 && mien_is_const(r->g, id)) return MIEN_OK; /* an initialiser with a declared default */
    MIEN_TRY(define(r, id));
    MIEN_TRY(read_value_type(r, info, &r->g->tensor[id]));
    return append_id(r, &r->g->input, &r->g->n_inputs, id);
}

/* ---- nodes ---- */

struct node_proto {
    struct mien_wire name, op, domain;
    struct mien_wire in[MIEN_MAX_NODE_IN], out[MIEN_MAX_NODE_OUT];
    int n_in, n_out;
    const char *label; /* for messages */
};

static enum mien_code scan_node(struct reader *r, struct mien_wire message, struct node_proto *p)
{
    struct mien_field f;
    int got;
    struct mien_wire w = message;
    p->name = p->op = p->domain = (struct mien_wire){message.p, message.p};
    while ((got = mien_wire_next(&w, &f)) > 0) {
        if (f.type != MIEN_WIRE_BYTES) continue;
        if (f.number == 1) {
            MIEN_FAIL_IF(p->n_in == MIEN_MAX_NODE_IN, r->e, MIEN_E_LIMIT, "node %d has more than %d inputs", r->g->n_nodes, MIEN_MAX_NODE_IN);
            p->in[p->n_in++] = f.bytes;
        } else if (f.number == 2) {
            MIEN_FAIL_IF(p->n_out == MIEN_MAX_NODE_OUT, r->e, MIEN_E_LIMIT, "node %d has more than %d outputs", r->g->n_nodes, MIEN_MAX_NODE_OUT);
            p->out[p->n_out++] = f.bytes;
        } else if (f.number == 3) {
            p->name = f.bytes;
        } else if (f.number == 4) {
            p->op = f.bytes;
        } else if (f.number == 7) {
            p->domain = f.bytes;
        }
    }
    MIEN_FAIL_IF(got < 0, r->e, MIEN_E_ONNX_FORMAT, "malformed node %d", r->g->n_nodes);
    char label[64];
    const char *op = text_of(r->g, p->op);
    if (op == NULL) return MIEN_NO_MEMORY(r->e);
    snprintf(label, sizeof label, "%.40s_%d", op, r->g->n_nodes);
    p->label = mien_wire_len(p->name) > 0 ? text_of(r->g, p->name) : mien_arena_strndup(r->g->own->arena, label, strlen(label));
    if (p->label == NULL) return MIEN_NO_MEMORY(r->e);
    return MIEN_OK;
}

static enum mien_code read_attributes(struct mien_wire message, struct mien_attr_bag *bag)
{
    struct mien_field f;
    while (mien_wire_next(&message, &f) > 0)
        if (f.number == 5 && f.type == MIEN_WIRE_BYTES) MIEN_TRY(mien_bag_add(bag, f.bytes));
    return MIEN_OK;
}

/* ONNX name -> operator; MIEN_OP_REMOVED when unknown. *variadic: a chain of two-operand nodes. */
static int op_named(struct mien_wire name, bool *variadic)
{
    static const struct { const char *text; int op; bool variadic; } extra[] = {
        {"Identity", MIEN_OP_IDENTITY, false}, {"Dropout", MIEN_OP_IDENTITY, false},
        {"Sum", MIEN_OP_ADD, true}, {"Min", MIEN_OP_MIN, true}, {"Max", MIEN_OP_MAX, true}};
    *variadic = false;
    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++)
        if (mien_wire_equals(name, extra[i].text)) {
            *variadic = extra[i].variadic;
            return extra[i].op;
        }
    for (int op = 0; op < MIEN_OP_COUNT; op++)
        if (mien_wire_equals(name, mien_op_name((enum mien_op)op))) return op;
    return MIEN_OP_REMOVED;
}

static enum mien_code name_tensors(struct reader *r, const struct node_proto *p, int *in, int *out)
{
    for (int i = 0; i < p->n_in; i++) {
        in[i] = mien_wire_len(p->in[i]) == 0 ? MIEN_NO_TENSOR : tensor_named(r, p->in[i]);
        if (in[i] < 0 && mien_wire_len(p->in[i]) > 0) return full(r);
    }
    for (int i = 0; i < p->n_out; i++) {
        out[i] = MIEN_NO_TENSOR;
        if (mien_wire_len(p->out[i]) == 0) continue;
        out[i] = tensor_named(r, p->out[i]);
        MIEN_TRY(define(r, out[i]));
    }
    return MIEN_OK;
}

/* a op b op c ... as (a op b) op c ...; one operand is an Identity. */
static enum mien_code add_chain(struct reader *r, const char *label, int op, const int *in, int n_in, int out)
{
    int left = in[0];
    for (int i = 1; i < n_in || i == 1; i++) {
        bool last = i >= n_in - 1, single = n_in == 1;
        int node = mien_graph_node(r->g, label, single ? MIEN_OP_IDENTITY : op, single ? 1 : 2, 1);
        int to = last ? out : mien_graph_tensor(r->g, label);
        if (node < 0 || to < 0) return full(r);
        bool already;
        if (!last && !mark_defined(r, to, &already)) return MIEN_NO_MEMORY(r->e);
        struct mien_node *n = &r->g->node[node];
        n->in[0] = left;
        if (!single) n->in[1] = in[i];
        n->out[0] = left = to;
    }
    return MIEN_OK;
}

static enum mien_code add_node(struct reader *r, struct mien_wire message, struct node_proto *p, int op, const int *in, const int *out)
{
    int n_in = p->n_in, n_out = p->n_out;
    while (n_in > 0 && in[n_in - 1] < 0) n_in--;
    while (n_out > 0 && out[n_out - 1] < 0) n_out--;
    int index = mien_graph_node(r->g, p->label, op, n_in, n_out);
    if (index < 0) return full(r);
    struct mien_node *n = &r->g->node[index];
    memcpy(n->in, in, sizeof *in * (size_t)n_in);
    memcpy(n->out, out, sizeof *out * (size_t)n_out);
    if (op == MIEN_OP_IDENTITY && n_in > 1) n->n_in = 1; /* Dropout's ratio and mode */
    struct mien_attr_bag bag = {.g = r->g, .node = n, .opset = r->g->opset, .e = r->e};
    MIEN_TRY(read_attributes(message, &bag));
    if (op == MIEN_OP_IDENTITY) return MIEN_OK;
    return mien_decode_attrs(&bag, index);
}

static enum mien_code read_node(struct reader *r, struct mien_wire message)
{
    struct node_proto p = {0};
    int in[MIEN_MAX_NODE_IN], out[MIEN_MAX_NODE_OUT];
    struct mien_node named = {.op = (enum mien_op)MIEN_OP_REMOVED};
    MIEN_TRY(scan_node(r, message, &p));
    named.name = p.label;
    bool default_domain = mien_wire_len(p.domain) == 0 || mien_wire_equals(p.domain, "ai.onnx");
    bool variadic;
    int op = op_named(p.op, &variadic);
    bool constant = default_domain && mien_wire_equals(p.op, "Constant");
    bool known = constant || op != MIEN_OP_REMOVED;
    if (!known || !(default_domain || mien_wire_equals(p.domain, "com.microsoft")))
        return MIEN_FAIL(r->e, MIEN_E_ONNX_UNSUPPORTED, "node %.60s: operator %.30s%s%.60s is not supported", p.label, shown(r->g, p.domain),
                         mien_wire_len(p.domain) > 0 ? "." : "", shown(r->g, p.op));
    MIEN_FAIL_IF(p.n_out == 0, r->e, MIEN_E_ONNX_FORMAT, "node %.60s has no outputs", p.label);
    MIEN_TRY(name_tensors(r, &p, in, out));
    if (constant) {
        struct mien_attr_bag bag = {.g = r->g, .node = &named, .opset = r->g->opset, .e = r->e};
        MIEN_TRY(read_attributes(message, &bag));
        MIEN_FAIL_IF(out[0] < 0, r->e, MIEN_E_ONNX_FORMAT, "node %.60s has no output", p.label);
        return mien_proto_constant(&bag, out[0]);
    }
    MIEN_FAIL_IF(p.n_in == 0 || in[0] < 0, r->e, MIEN_E_ONNX_FORMAT, "node %.60s has no input", p.label);
    MIEN_FAIL_IF(out[0] < 0, r->e, MIEN_E_ONNX_FORMAT, "node %.60s has no first output", p.label);
    if (variadic && p.n_in != 2) {
        for (int i = 0; i < p.n_in; i++) MIEN_FAIL_IF(in[i] < 0, r->e, MIEN_E_ONNX_FORMAT, "node %.60s: input %d is missing", p.label, i);
        return add_chain(r, p.label, op, in, p.n_in, out[0]);
    }
    return add_node(r, message, &p, op, in, out);
}

/* ---- graph and model ---- */

static enum mien_code each(struct reader *r, uint32_t number, enum mien_code (*read)(struct reader *, struct mien_wire))
{
    struct mien_wire w = r->graph;
    struct mien_field f;
    while (mien_wire_next(&w, &f) > 0)
        if (f.number == number && f.type == MIEN_WIRE_BYTES) MIEN_TRY(read(r, f.bytes));
    return MIEN_OK;
}

static enum mien_code read_output(struct reader *r, struct mien_wire info)
{
    MIEN_TRY(check_message(info, "output", r->e));
    int id = tensor_named(r, member(info, 1));
    if (id < 0) return MIEN_NO_MEMORY(r->e);
    MIEN_FAIL_IF(!is_defined(r, id), r->e, MIEN_E_ONNX_FORMAT, "output %.80s: no node makes it", r->g->tensor[id].name);
    for (int i = 0; i < r->g->n_outputs; i++)
        MIEN_FAIL_IF(r->g->output[i] == id, r->e, MIEN_E_ONNX_FORMAT, "output %.80s is listed twice", r->g->tensor[id].name);
    MIEN_FAIL_IF(r->g->n_outputs == 256, r->e, MIEN_E_LIMIT, "more than 256 outputs");
    return append_id(r, &r->g->output, &r->g->n_outputs, id);
}

static enum mien_code check_inputs_defined(const struct reader *r)
{
    for (int i = 0; i < r->g->n_nodes; i++) {
        const struct mien_node *n = &r->g->node[i];
        for (int k = 0; k < n->n_in; k++)
            MIEN_NODE_FAIL_IF(n->in[k] >= 0 && !mien_is_const(r->g, n->in[k]) && !is_defined(r, n->in[k]), r->e, MIEN_E_ONNX_FORMAT, n,
                              "its input %.80s is defined nowhere", r->g->tensor[n->in[k]].name);
    }
    return MIEN_OK;
}

static enum mien_code read_graph(struct reader *r)
{
    MIEN_TRY(check_message(r->graph, "graph", r->e));
    struct mien_wire sparse = member(r->graph, 15);
    MIEN_FAIL_IF(mien_wire_len(sparse) > 0, r->e, MIEN_E_ONNX_UNSUPPORTED, "sparse initializers are not supported");
    MIEN_TRY(each(r, 5, read_initializer));
    MIEN_TRY(each(r, 11, read_input));
    MIEN_TRY(each(r, 1, read_node));
    MIEN_TRY(each(r, 12, read_output));
    MIEN_FAIL_IF(r->g->n_outputs == 0, r->e, MIEN_E_ONNX_FORMAT, "the graph has no outputs");
    return check_inputs_defined(r);
}

static enum mien_code read_opset(struct mien_graph *g, struct mien_wire import, struct mien_err *e)
{
    MIEN_TRY(check_message(import, "opset", e));
    struct mien_wire domain = member(import, 1);
    if (mien_wire_len(domain) > 0 && !mien_wire_equals(domain, "ai.onnx")) return MIEN_OK;
    struct mien_field f;
    uint64_t version = 0;
    while (mien_wire_next(&import, &f) > 0)
        if (f.number == 2 && f.type == MIEN_WIRE_VARINT) version = f.value;
    MIEN_FAIL_IF(version < MIN_OPSET || version > MAX_OPSET, e, MIEN_E_ONNX_UNSUPPORTED, "opset %" PRIu64 " is not supported (%d to %d are)", version,
                 MIN_OPSET, MAX_OPSET);
    g->opset = (int)version;
    return MIEN_OK;
}

static enum mien_code read_model(struct reader *r, struct mien_wire model)
{
    struct mien_field f;
    int got;
    bool seen = false;
    while ((got = mien_wire_next(&model, &f)) > 0) {
        if (f.type != MIEN_WIRE_BYTES) continue;
        if (f.number == 2 && (r->g->producer = text_of(r->g, f.bytes)) == NULL) return MIEN_NO_MEMORY(r->e);
        if (f.number == 8) MIEN_TRY(read_opset(r->g, f.bytes, r->e));
        MIEN_FAIL_IF(f.number == 25, r->e, MIEN_E_ONNX_UNSUPPORTED, "functions defined by the model are not supported");
        if (f.number != 7) continue;
        MIEN_FAIL_IF(seen, r->e, MIEN_E_ONNX_FORMAT, "two graphs in one model");
        seen = true;
        r->graph = f.bytes;
    }
    MIEN_FAIL_IF(got < 0, r->e, MIEN_E_ONNX_FORMAT, "not an ONNX file, or truncated");
    MIEN_FAIL_IF(!seen, r->e, MIEN_E_ONNX_FORMAT, "not an ONNX file: it holds no graph");
    MIEN_FAIL_IF(r->g->opset == 0, r->e, MIEN_E_ONNX_FORMAT, "the model names no opset");
    return read_graph(r);
}

enum mien_code mien_onnx_read(const unsigned char *data, size_t n, struct mien_graph **out, struct mien_err *e)
{
    *out = NULL;
    MIEN_FAIL_IF(data == NULL || n == 0, e, MIEN_E_ONNX_FORMAT, "the file is empty");
    MIEN_FAIL_IF(n > (size_t)1 << 31, e, MIEN_E_LIMIT, "the file is larger than 2 GiB");
    /* Converted and folded weights need a few times the file at most. */
    struct mien_graph *g = mien_graph_new(((size_t)64 << 20) + 8 * n);
    if (g == NULL) return MIEN_NO_MEMORY(e);
    g->own->file_begin = data;
    g->own->file_end = data + n;
    struct reader r = {.g = g, .e = e};
    enum mien_code code = read_model(&r, (struct mien_wire){data, data + n});
    free(r.names.slot);
    free(r.defined);
    if (code == MIEN_OK) code = mien_graph_sort(g, e);
    if (code == MIEN_OK) *out = g;
    else mien_graph_free(&g);
    return code;
}

enum mien_code mien_onnx_parse(const unsigned char *data, size_t n, struct mien_graph **out, struct mien_err *e)
{
    MIEN_TRY(mien_onnx_read(data, n, out, e));
    enum mien_code code = mien_passes_parsed(*out, e);
    if (code != MIEN_OK) mien_graph_free(out);
    return code;
}
