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
	void (*apply_a)(const ns_op *o, const float *ar, view x, view r, view mask, view y, view h, int n);
	void (*stats)(const ns_op *o, double *acc, view x, view h, int n, int first);
	void (*pool)(const ns_op *o, const float *ar, view x, view y, int n);
	void (*dgate)(const ns_op *o, const float *ar, view x, view g, view y, int n);
	void (*pass_u)(const ns_op *o, const float *ar, double *acc, view x, view y, sources q, int n, int first);
	void (*pass_a)(const ns_op *o, const float *ar, double *acc, double *acc2, view x, view r, view out, view mask, view y, sources q, int n, int first);
	void (*pass_b)(const ns_op *o, const float *ar, view g, view x, view mask, view y, int n);
	void (*mul)(const ns_op *o, view x, view r, view y, int n);
	void (*narrow)(const ns_op *o, view x, view y, view h, int n);
	void (*widen)(const ns_op *o, view x, view y, int n);
	void (*max_f)(const ns_op *o, view x, view y, int n);
	void (*max_b)(const ns_op *o, view x, view g, view y, int n);
	void (*avg_f)(const ns_op *o, view x, view y, int n);
	void (*avg_b)(const ns_op *o, view g, view y, int n);
	void (*fold)(const ns_op *o, view x, view y, int n);
	void (*unfold)(const ns_op *o, view g, view y, int n);
	void (*softmax_f)(const ns_op *o, const float *ar, view x, view y, int n);
	void (*softmax_b)(const ns_op *o, const float *ar, view v, view g, view y, int n);
} ns_kernels;

// Sixteen lanes are for processors with AVX-512 alone.
extern const ns_kernels ns_kernels8, ns_kernels16;

// What the next chunk reads and writes, in the order in which it does. Convolutions fetch it into the second-level cache, a line
// at a time: they have little to do with memory, and the rest of a step waits for it.
typedef struct {
	const char *at;
	int64_t bytes;
} ns_range;
enum { NS_RANGES = 32 };
typedef struct ns_ahead {
	ns_range ranges[NS_RANGES];
	int count, now; // ranges there are, and the one that is being fetched
} ns_ahead;

// Where to begin with so many fetches, and how far each goes on: 0 where nothing is left, to what is in the cache anyway.
static inline const char *ns_fetch(ns_ahead *a, int64_t fetches, int bytes, const void *cached, int *step) {
	*step = 0;
	if (!a || a->now == a->count) return cached;
	ns_range *r = &a->ranges[a->now];
	const char *at = r->at;
	*step = bytes;
	r->at += fetches * bytes, r->bytes -= fetches * bytes;
	if (r->bytes <= 0) a->now++;
	return at;
}

// A tile of tile.h: vectors of outputs by positions in so many images; of the weight gradient,
// vectors of the outputs' gradient by input channels; of a first convolution's, by the weights of each.
typedef struct {
	int vectors, positions, images;
} ns_tile;

// The kernels of tile.h for vectors of so many lanes; those of AVX-512 are zero on other machines.
typedef struct {
	int lanes;
	ns_tile (*choice)(const ns_shape *s, int which);
	void (*product)(const ns_shape *s, ns_tile t, int data, const float *x, const float *w, const float *bias, float *y, ns_ahead *ahead);
	void (*weights)(const ns_shape *s, ns_tile t, const float *x, const float *d, float *w, int add, ns_ahead *ahead);
	// Those of first convolutions.
	ns_tile (*planes_choice)(const ns_shape *s, int which);
	void (*planes)(const ns_shape *s, ns_tile t, const float *x, const float *w, const float *bias, float *y, float *scratch, ns_ahead *ahead);
	void (*planes_weights)(const ns_shape *s, ns_tile t, const float *x, const float *d, float *w, int add, float *scratch, ns_ahead *ahead);
} ns_tiles;
extern const ns_tiles ns_tiles8, ns_tiles8x2, ns_tiles16; // a block of 8 to a vector, a block of 8 twice, a block of 16

// Convolutions by tiles; which as in ns_conv_exec, t the choice for it. What a shape with fuse has forward to add and apply, tiles do; bias may be NULL, and ahead, too.
int ns_tile_any(const ns_shape *s); // whether a shape has no tiles of its own, but those of any kernel and stride
ns_tile ns_tile_choice(const ns_shape *s, int which);
int64_t ns_tile_weights(const ns_shape *s, int which); // floats
int64_t ns_tile_scratch(const ns_shape *s);            // bytes
// What a first convolution does at a time: so many rows of outputs; and the rows that they read, with zeros around them, of such a width.
typedef struct {
	int outputs, rows, width;
} ns_band;
enum { NS_PLANES_M = 14 }; // positions of the largest tile
ns_band ns_plane_band(const ns_shape *s);
void ns_tile_pack(const ns_shape *s, float *plain, float *packed, int unpack);
void ns_tile_exec(const ns_shape *s, ns_tile t, int which, float *src, float *w, const float *bias, float *dst, float *scratch, ns_ahead *ahead);
#endif
