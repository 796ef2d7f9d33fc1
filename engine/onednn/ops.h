// The kernels of one block size; see kernels.h.
#ifndef OPS_H
#define OPS_H
#include "ns.h"

typedef struct {
	float *p;
	int64_t stride; // floats per image
} view;

// The gradient that arrives at an element: the sum of what the consumers sent.
typedef struct {
	view g1, g2, g3, gate, bc;
} sources;

typedef struct ns_kernels {
	void (*apply_u)(const ns_op *o, const float *ar, view x, view y, view gate, int n);
	void (*apply_a)(const ns_op *o, const float *ar, view x, view r, view mask, view y, int n);
	void (*stats)(const ns_op *o, double *acc, view x, int n, int first);
	void (*pool)(const ns_op *o, const float *ar, view x, view y, int n);
	void (*dgate)(const ns_op *o, const float *ar, view x, view g, view y, int n);
	void (*pass_u)(const ns_op *o, const float *ar, double *acc, view x, view y, sources q, int n, int first);
	void (*pass_a)(const ns_op *o, const float *ar, double *acc, double *acc2, view x, view r, view out, view mask, view y, sources q, int n, int first);
	void (*pass_b)(const ns_op *o, const float *ar, view g, view x, view mask, view y, int n);
	void (*mul)(const ns_op *o, view x, view r, view y, int n);
	void (*max_f)(const ns_op *o, view x, view y, int n);
	void (*max_b)(const ns_op *o, view x, view g, view y, int n);
	void (*avg_f)(const ns_op *o, view x, view y, int n);
	void (*avg_b)(const ns_op *o, view g, view y, int n);
	void (*fold)(const ns_op *o, view x, view y, int n);
	void (*unfold)(const ns_op *o, view g, view y, int n);
	void (*softmax_f)(const ns_op *o, const float *ar, view x, view y, int n);
	void (*softmax_b)(const ns_op *o, const float *ar, view v, view g, view y, int n);
	// A convolution that oneDNN has no kernel for. which: 0 forward (reads src
	// and w, writes dst), 1 backward data (reads dst and w, writes src), 2
	// backward weights (reads src and dst, writes w).
	void (*direct)(const ns_shape *s, int which, float *src, float *w, float *dst);
} ns_kernels;

// Sixteen lanes are for processors with AVX-512 alone.
extern const ns_kernels ns_kernels8, ns_kernels16;

// A product or a weight gradient of pointwise.h: of one vector of output
// channels. Distances in floats.
typedef struct {
	const float *x, *w;
	float *y;                // product: out; gradient: the output's gradient
	float *dw;
	int in_blocks, positions, images;
	int64_t x_block, w_block; // from one input block to the next
	int64_t y_next, w_next;   // from one output block to the next in a vector
	int64_t x_image, y_image; // gradient
} ns_pointwise;

// Convolution kernels of ours. Those of wide vectors (AVX-512) are zero on
// other machines; the others have no pointwise ones.
typedef struct {
	void (*group)(const ns_shape *s, int which, float *src, float *w, float *dst); // as ns_kernels.direct
	void (*product)(const ns_pointwise *s);
	void (*gradient)(const ns_pointwise *s);
} ns_convs;
extern const ns_convs ns_convs8;                              // blocks of 8
extern const ns_convs ns_wide8, ns_wide8x2, ns_wide16;        // one block of 8 to a vector, two, a block of 16

// 1×1 convolutions of one group on AVX-512; which as in ns_kernels.direct. Backward
// data reads weights with the inner dimensions exchanged.
int64_t ns_pointwise_scratch(const ns_shape *s); // bytes
void ns_pointwise_exec(const ns_shape *s, int which, float *src, float *w, float *dst, float *scratch);
#endif
