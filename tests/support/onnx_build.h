/* Writes small ONNX models in memory, for tests: the bytes of a ModelProto, piece by piece.
 *
 *   struct onnx_build *b = onnx_build_new(13);
 *   onnx_build_input(b, "x", ONNX_FLOAT, 4, (int64_t[]){1, 3, 8, 8});          (-1: a symbolic dimension)
 *   onnx_build_f32(b, "w", 4, (int64_t[]){4, 3, 3, 3}, weights);
 *   onnx_build_node(b, "Conv", "x w", "y");                                    (names separated by blanks, "_" = omitted)
 *   onnx_build_ints(b, "pads", 4, (int64_t[]){1, 1, 1, 1});                    (attributes of the node added last)
 *   onnx_build_output(b, "y");
 *   unsigned char *model = onnx_build_done(b, &size);                          (frees b; the caller frees the bytes)
 *
 * Out of memory aborts. */
#ifndef TESTS_SUPPORT_ONNX_BUILD_H
#define TESTS_SUPPORT_ONNX_BUILD_H

#include <stddef.h>
#include <stdint.h>

enum { ONNX_FLOAT = 1, ONNX_UINT8 = 2, ONNX_INT8 = 3, ONNX_INT32 = 6, ONNX_INT64 = 7, ONNX_BOOL = 9, ONNX_FLOAT16 = 10, ONNX_DOUBLE = 11, ONNX_BFLOAT16 = 16 };

struct onnx_build;
struct onnx_build *onnx_build_new(int opset);
void onnx_build_input(struct onnx_build *b, const char *name, int type, int rank, const int64_t *dim);
void onnx_build_output(struct onnx_build *b, const char *name);
/* Constants. f32 and i64 as raw_data; random ones repeat for equal seeds (uniform in low..high). */
void onnx_build_f32(struct onnx_build *b, const char *name, int rank, const int64_t *dim, const float *v);
void onnx_build_i64(struct onnx_build *b, const char *name, int n, const int64_t *v); /* one dimension */
void onnx_build_scalar(struct onnx_build *b, const char *name, float v);
void onnx_build_random(struct onnx_build *b, const char *name, int rank, const int64_t *dim, float low, float high, uint32_t seed);
void onnx_build_raw(struct onnx_build *b, const char *name, int type, int rank, const int64_t *dim, const void *bytes, size_t n);
/* int32_data / float_data / int64_data instead of raw_data, packed or one field a value. */
void onnx_build_typed(struct onnx_build *b, const char *name, int type, int rank, const int64_t *dim, const int64_t *v, int n, int packed);
void onnx_build_typed_f32(struct onnx_build *b, const char *name, int rank, const int64_t *dim, const float *v, int n, int packed);
/* A node, and attributes of the node added last. */
void onnx_build_node(struct onnx_build *b, const char *op, const char *inputs, const char *outputs);
void onnx_build_int(struct onnx_build *b, const char *name, int64_t v);
void onnx_build_float(struct onnx_build *b, const char *name, float v);
void onnx_build_string(struct onnx_build *b, const char *name, const char *v);
void onnx_build_ints(struct onnx_build *b, const char *name, int n, const int64_t *v);
void onnx_build_floats(struct onnx_build *b, const char *name, int n, const float *v);
void onnx_build_tensor(struct onnx_build *b, const char *name, int type, int rank, const int64_t *dim, const void *raw, size_t bytes);
void onnx_build_domain(struct onnx_build *b, const char *domain);
/* Any field of the node added last, the graph or the model, for malformed and unusual files. */
void onnx_build_node_field(struct onnx_build *b, unsigned number, const void *bytes, size_t n);
void onnx_build_graph_field(struct onnx_build *b, unsigned number, const void *bytes, size_t n);
void onnx_build_model_field(struct onnx_build *b, unsigned number, const void *bytes, size_t n);
unsigned char *onnx_build_done(struct onnx_build *b, size_t *size);

#endif
