// What the tiles of all vectors have in common: the layouts of weights, and strides of 1×1 kernels.
#define LANES 8
#include "ops.h"
#include "vec.h"
#include <string.h>

static const ns_tiles *tiles_of(const ns_shape *s) { return !s->wide ? &ns_tiles8 : s->block == 8 ? &ns_tiles8x2 : &ns_tiles16; }

int ns_tile_any(const ns_shape *s) {
	const int rows = s->kernel == 3 || (s->width == 1 && (s->kernel == 5 || s->kernel == 7));
	return s->kernel == 1 ? s->width != 0 : !rows || s->stride > 2;
}

ns_tile ns_tile_choice(const ns_shape *s, int which) { return s->plain_src ? tiles_of(s)->planes_choice(s, which) : tiles_of(s)->choice(s, which); }

// The lanes of a vector that have weights of their own, how many of them each output has, and so its outputs; groups, inputs and outputs of
// each, its vectors, and the floats of one vector's weights for a row of the kernel. width: of groups that share a block, else 0.
typedef struct {
	int lanes, each, outputs, groups, width, in, out, vectors;
	int64_t row;
} layout;

static layout layout_of(const ns_shape *s, int data) {
	layout l = {.lanes = s->width ? s->block : tiles_of(s)->lanes, .width = s->width < s->block ? s->width : 0};
	l.each = s->plain_src ? 1 : l.lanes / s->block, l.outputs = l.lanes / l.each;
	l.groups = s->width == 1 ? s->oc / s->block : s->groups;
	l.in = l.width ? l.width : (data ? s->oc : s->ic) / l.groups, l.out = (data ? s->ic : s->oc) / l.groups;
	l.vectors = (l.out + l.outputs - 1) / l.outputs, l.row = (int64_t)l.in * s->kernel * l.outputs;
	return l;
}

int64_t ns_tile_weights(const ns_shape *s, int which) {
	layout l = layout_of(s, which == NS_DATA);
	return l.groups * l.vectors * s->kernel * l.row;
}

// Where a weight lies.
static int64_t place(const ns_shape *s, const layout *l, int group, int out, int in, int row, int tap) {
	return ((int64_t)(group * l->vectors + out / l->outputs) * s->kernel + row) * l->row + ((int64_t)in / l->each * s->kernel + tap) * l->lanes + out % l->outputs * l->each + in % l->each;
}

void ns_tile_pack(const ns_shape *s, float *plain, float *packed, int unpack) {
	const layout l = layout_of(s, 0);
	const int k = s->kernel, in = s->ic / s->groups; // of the plain ones, which have zeros between groups that share a block
	for (int g = 0; g < l.groups; g++)
		for (int o = 0; o < l.out; o++)
			for (int i = 0; i < in; i++)
				for (int t = 0; t < k * k; t++, plain++) {
					const int apart = l.width > 1 && o / l.width != i / l.width;
					float *p = packed + place(s, &l, g, o, l.width ? i % l.width : i, t / k, t % k);
					if (unpack) *plain = apart ? 0 : *p;
					else if (!apart) *p = *plain;
				}
}

// The row of the kernel that is number r in the weights of backward data of stride 2: first those that even rows
// of inputs were read by, whose order is that of the outputs, then those of odd rows.
static int row_back(int kernel, int r) {
	const int pad = kernel / 2, even = pad + 1 - pad % 2;
	return r < even ? 2 * (even - 1 - r) + pad % 2 : 2 * (kernel - 1 - r) + 1 - pad % 2;
}

// The weights of backward data from those of forward: inputs and outputs change places. At stride 1, and of any
// kernel and stride, rows and taps are turned around.
static void turn(const ns_shape *s, const float *w, float *to) {
	const layout f = layout_of(s, 0), b = layout_of(s, 1);
	const int k = s->kernel, turned = k > 1 && (s->stride == 1 || ns_tile_any(s));
	// From the weight of the first lane to those of the others, which have the next inputs and outputs; in narrow groups the same outputs of the next group.
	int64_t lane[16];
	for (int l = 0; l < b.lanes; l++) lane[l] = b.width ? place(s, &f, 0, 0, l % b.width, 0, 0) + l / b.width * b.width : place(s, &f, 0, l % b.each, l / b.each, 0, 0);
	for (int g = 0; g < b.groups; g++)
		for (int v = 0; v < b.vectors; v++)
			for (int r = 0; r < k; r++)
				for (int o = 0; o < b.in; o += b.each)
					for (int t = 0; t < k; t++) {
						const float *p = w + place(s, &f, g, o, v * s->block, k == 1 ? 0 : turned ? k - 1 - r : row_back(k, r), turned ? k - 1 - t : t);
						for (int l = 0; l < b.lanes; l++) to[l] = p[lane[l]];
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

// Rows of outputs, of which there are about so many at a time: they and what they read stay in the first-level cache.
#define BAND_POSITIONS 192

ns_band ns_plane_band(const ns_shape *s) {
	const int some = BAND_POSITIONS / s->ow, outputs = some < 1 ? 1 : some < s->oh ? some : s->oh;
	// The last tile of a row need not be full, and the last taps not there.
	const int read = (s->ow + NS_PLANES_M) * s->stride + s->kernel + 1, there = (s->kernel - 1) / 2 + s->iw;
	return (ns_band){outputs, (outputs - 1) * s->stride + s->kernel, read > there ? read : there};
}

int64_t ns_tile_scratch(const ns_shape *s) {
	if (s->plain_src) {
		const ns_band b = ns_plane_band(s);
		return (int64_t)s->ic * b.rows * b.width * sizeof(float);
	}
	return s->kernel > 1 || s->width || s->stride == 1 ? 0 : (int64_t)s->n * s->ic * s->oh * s->ow * sizeof(float);
}

void ns_tile_exec(const ns_shape *s, ns_tile t, int which, float *src, float *w, const float *bias, float *dst, float *scratch, ns_ahead *ahead) {
	const ns_tiles *k = tiles_of(s);
	if (s->plain_src) {
		if (which == NS_FORWARD) k->planes(s, t, src, w, bias, dst, scratch, ahead);
		else k->planes_weights(s, t, src, dst, w, which == NS_WEIGHTS_ADD, scratch, ahead);
		return;
	}
	const int picked = s->kernel == 1 && !s->width && s->stride > 1 && which != NS_TURN;
	float *x = picked ? scratch : src;
	if (picked && which != NS_DATA) pick_positions(s, src, x, 0);
	switch (which) {
	case NS_FORWARD: k->product(s, t, 0, x, w, bias, dst, ahead); break;
	case NS_DATA: k->product(s, t, 1, dst, w, NULL, x, ahead); break;
	case NS_WEIGHTS: k->weights(s, t, x, dst, w, 0, ahead); break;
	case NS_WEIGHTS_ADD: k->weights(s, t, x, dst, w, 1, ahead); break;
	case NS_TURN: turn(s, w, dst); break;
	}
	if (picked && which == NS_DATA) pick_positions(s, src, x, 1);
}
