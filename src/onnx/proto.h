/* ONNX messages as views into the file: attributes and tensors are found and decoded on demand.
 * Field numbers: onnx.proto3 of https://github.com/onnx/onnx (the format is frozen: numbers never change). */
#ifndef MIEN_ONNX_PROTO_H
#define MIEN_ONNX_PROTO_H

#include "onnx/internal.h"
#include "onnx/wire.h"

enum { MIEN_MAX_ATTRS = 32 };

struct mien_attr_view { struct mien_wire name, body; int type; };

/* The attributes of one node. Getters give `otherwise` when the attribute is absent; a wrong kind or a malformed value
 * sets `code` (sticky) and e, so that a run of getters needs one check. */
struct mien_attr_bag {
    struct mien_graph *g;
    const struct mien_node *node;
    const char *op_text;
    int opset, n;
    struct mien_attr_view a[MIEN_MAX_ATTRS];
    enum mien_code code;
    struct mien_err *e;
};

enum mien_code mien_bag_add(struct mien_attr_bag *b, struct mien_wire attribute) MIEN_MUST_CHECK;
const struct mien_attr_view *mien_bag_find(const struct mien_attr_bag *b, const char *name);
int64_t mien_bag_int(struct mien_attr_bag *b, const char *name, int64_t otherwise);
float mien_bag_float(struct mien_attr_bag *b, const char *name, float otherwise);
/* Index of the string attribute's value in `names` (NULL-terminated); a value not listed is MIEN_E_ONNX_UNSUPPORTED. */
int mien_bag_choice(struct mien_attr_bag *b, const char *name, const char *const *names, int otherwise);
/* Count of integers (0 when absent); more than `max` is an error. */
int mien_bag_ints(struct mien_attr_bag *b, const char *name, int64_t *out, int max);
int mien_bag_floats(struct mien_attr_bag *b, const char *name, float *out, int max);

/* TensorProto -> constant tensor `id` (type, shape, data); its name is not touched. f16, bf16 and f64 become f32. */
enum mien_code mien_proto_tensor(struct mien_graph *g, struct mien_wire message, int id, const char *what, struct mien_err *e) MIEN_MUST_CHECK;

/* Value of a Constant node -> constant tensor `id`. */
enum mien_code mien_proto_constant(struct mien_attr_bag *b, int id) MIEN_MUST_CHECK;

/* ONNX TensorProto.DataType -> element type of the graph (floats of any width are MIEN_F32); NONE when not supported. */
enum mien_elem mien_proto_elem(uint64_t onnx_type);

/* Attributes of `n` (whose op and inputs are set) into n->attr; may turn attributes of old opsets into constant inputs. */
enum mien_code mien_decode_attrs(struct mien_attr_bag *b, int node_index) MIEN_MUST_CHECK;

#endif
