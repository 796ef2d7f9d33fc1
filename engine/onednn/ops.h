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
	// A convolution that oneDNN has no kernel for. which: 0 forward (reads src
	// and w, writes dst), 1 backward data (reads dst and w, writes src), 2
	// backward weights (reads src and dst, writes w).
	void (*direct)(const ns_shape *s, int which, float *src, float *w, float *dst);
	void (*narrow)(const ns_shape *s, int which, float *src, float *w, float *dst); // the same for narrow groups
} ns_kernels;

// Sixteen lanes are for processors with AVX-512 alone.
extern const ns_kernels ns_kernels8, ns_kernels16;

// Narrow groups in blocks of 8, two images to an AVX-512 vector.
void ns_narrow_pairs(const ns_shape *s, int which, float *src, float *w, float *dst);
#endif
