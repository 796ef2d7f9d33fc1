// What the tiles of all vectors have in common: the layouts of weights, and strides of 1×1 kernels.
#define LANES 8
#include "ops.h"
#include "vec.h"
#include <string.h>

static const ns_tiles *tiles_of(const ns_shape *s) { return !s->wide ? &ns_tiles8 : s->block == 8 ? &ns_tiles8x2 : &ns_tiles16; }

int ns_tiled(const ns_shape *s) {
	if (s->plain_src || (s->kernel != 1 && s->kernel != 3) || s->stride > 2 || (s->groups > 1 && s->groups == s->ic)) return 0;
	return s->group == 0 || s->group % tiles_of(s)->lanes == 0;
}

ns_tile ns_tile_choice(const ns_shape *s, int which) { return tiles_of(s)->choice(s, which); }

// Outputs of a group in whole vectors, and the floats of one vector's weights for a row of the kernel.
typedef struct {
	int lanes, in, out, vectors;
	int64_t row;
} layout;

static layout layout_of(const ns_shape *s, int data) {
	layout l = {.lanes = tiles_of(s)->lanes, .in = (data ? s->oc : s->ic) / s->groups, .out = (data ? s->ic : s->oc) / s->groups};
	l.vectors = (l.out + l.lanes - 1) / l.lanes, l.row = (int64_t)l.in * s->kernel * l.lanes;
	return l;
}

int64_t ns_tile_weights(const ns_shape *s, int which) {
	layout l = layout_of(s, which == 1);
	return s->groups * l.vectors * s->kernel * l.row;
}

// Where a weight lies: the first of lanes outputs from out on.
static int64_t place(const ns_shape *s, const layout *l, int group, int out, int in, int row, int tap) {
	return ((int64_t)(group * l->vectors + out / l->lanes) * s->kernel + row) * l->row + ((int64_t)in * s->kernel + tap) * l->lanes + out % l->lanes;
}

void ns_tile_pack(const ns_shape *s, float *plain, float *packed, int unpack) {
	const layout l = layout_of(s, 0);
	const int k = s->kernel;
	if (!unpack) memset(packed, 0, sizeof(float) * ns_tile_weights(s, 0));
	for (int g = 0; g < s->groups; g++)
		for (int o = 0; o < l.out; o++)
			for (int i = 0; i < l.in; i++)
				for (int t = 0; t < k * k; t++, plain++) {
					float *p = packed + place(s, &l, g, o, i, t / k, t % k);
					if (unpack) *plain = *p;
					else *p = *plain;
				}
}

// The weights of backward data from those of forward: inputs and outputs change places. At stride 1 taps
// are turned around; at stride 2 rows are in the order in which rows of inputs read them.
static void turn(const ns_shape *s, const float *w, float *to) {
	static const int row_of[3] = {1, 2, 0};
	const layout f = layout_of(s, 0), b = layout_of(s, 1);
	const int k = s->kernel, turned = k == 3 && s->stride == 1;
	for (int g = 0; g < s->groups; g++)
		for (int v = 0; v < b.vectors; v++)
			for (int r = 0; r < k; r++)
				for (int o = 0; o < b.in; o++)
					for (int t = 0; t < k; t++) {
						const float *p = w + place(s, &f, g, o, v * b.lanes, k == 1 ? 0 : turned ? 2 - r : row_of[r], turned ? 2 - t : t);
						const int there = b.out - v * b.lanes < b.lanes ? b.out - v * b.lanes : b.lanes;
						for (int l = 0; l < there; l++) to[l] = p[(int64_t)l * k * f.lanes];
						for (int l = there; l < b.lanes; l++) to[l] = 0;
						to += b.lanes;
					}
}

// Copies the positions that a stride picks: between maps and compact ones.
static void pick_positions(const ns_shape *s, float *map, float *compact, int back) {
	if (back) memset(map, 0, sizeof(float) * s->n * s->ic * s->ih * s->iw);
	for (int b = 0; b < s->n * (s->ic / s->block); b++)
		for (int y = 0; y < s->oh; y++)
			for (int x = 0; x < s->ow; x++, compact += s->block) {
				float *m = map + (((int64_t)b * s->ih + y * s->stride) * s->iw + x * s->stride) * s->block;
				for (int i = 0; i < s->block; i += LANES) {
					if (back) store(m + i, load(compact + i));
					else store(compact + i, load(m + i));
				}
			}
}

int64_t ns_tile_scratch(const ns_shape *s) {
	return s->kernel > 1 || s->stride == 1 ? 0 : (int64_t)s->n * s->ic * s->oh * s->ow * sizeof(float);
}

void ns_tile_exec(const ns_shape *s, int which, float *src, float *w, const float *bias, float *dst, float *scratch) {
	const ns_tiles *t = tiles_of(s);
	const int picked = s->kernel == 1 && s->stride > 1 && which != NS_TURN;
	float *x = picked ? scratch : src;
	if (picked && which != NS_DATA) pick_positions(s, src, x, 0);
	switch (which) {
	case NS_FORWARD: t->product(s, 0, x, w, bias, dst); break;
	case NS_DATA: t->product(s, 1, dst, w, NULL, x); break;
	case NS_WEIGHTS: t->weights(s, x, dst, w, 0); break;
	case NS_WEIGHTS_ADD: t->weights(s, x, dst, w, 1); break;
	case NS_TURN: turn(s, w, dst); break;
	}
	if (picked && which == NS_DATA) pick_positions(s, src, x, 1);
}
