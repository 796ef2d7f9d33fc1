// 3×3 convolutions of groups that tile.h does not do: of 2, 4 or 8 channels that share a block, and,
// on AVX-512, of an odd number of blocks of 8, of which half a vector would be empty. For the narrowest oneDNN has nothing but block-diagonal
// kernels, which multiply B/width times as much as there is to multiply.
//
// Weights are [groups of blocks][out][in][3][3][B in][B out] as in direct.h, zero where
// two channels of a block are of different groups. A kernel first collects what
// is not: for every tap and every place j within a group a vector, whose
// lane l is the weight between output l and channel j of its group.
//
// A vector is LANES wide and holds LANES/BLOCK images of one position.
#ifndef GROUP_H
#define GROUP_H
#include "ns.h"
#include "vec.h"
#include <string.h>

#define IMAGES (LANES / BLOCK)

// Sums at a time: as many as the registers hold beside weights and input. Each
// waits for itself, so a kernel wants many.
#ifdef __AVX512VL__
#define SUMS 16
#else
#define SUMS 12
#endif

// Blocks of a group at most: their weights are to stay in the first-level cache.
#define MOST_BLOCKS (32 / BLOCK)

// For every lane the lane that is number j in its group.
INLINE vi place(int group, int j) {
	vi at;
	for (int l = 0; l < LANES; l++) at[l] = l / group * group + j;
	return at;
}

// How inputs meet outputs along a row: output r of a convolution of stride 1
// or 2 reads inputs r*stride-1 and on; backward data of stride 2 is
// the reverse (of stride 1 it is a convolution again, with the taps turned around).
enum { ROW1, ROW2, ROW2_BACK };

// Part of a row.
typedef struct {
	const float *in;            // the input of the part's first output in the first row that it may read
	float *out;
	const int64_t *rows;        // where all rows begin, in every input block: [rows of taps][blocks]
	const vf *w;                // their weights: [rows of taps][blocks][3 * BLOCK], of which [group][3] count
	const vi *places;           // [group]
	int k0, k1;                 // those that are there, of rows and w
	int group;
	int left, right;            // whether the input before and after the part exists
	int64_t in_next, out_next;  // from one image to the next
	int64_t in_map, out_map;    // from one vector of images to the next
} group_part;

// m outputs in each of some vectors of images.
INLINE void segment(const group_part *s, int m, int maps, int mode) {
	vf acc[2 * 16]; // SUMS at most
	// The outputs lie in memory that has not been touched for long: fetch it meanwhile.
#pragma GCC unroll 2
	for (int q = 0; q < maps; q++)
#pragma GCC unroll 16
		for (int r = 0; r < m; r += 64 / (4 * BLOCK)) {
			__builtin_prefetch(s->out + q * s->out_map + r * BLOCK, 1);
			if (IMAGES == 2) __builtin_prefetch(s->out + q * s->out_map + s->out_next + r * BLOCK, 1);
		}
#pragma GCC unroll 16
	for (int r = 0; r < m * maps; r++) acc[r] = splat(0);
	const int first = mode == ROW2_BACK ? 0 : -1, last = mode == ROW1 ? m : mode == ROW2 ? 2 * m - 1 : m / 2;
	for (int k = s->k0; k < s->k1; k++) {
		const float *x = s->in + s->rows[k];
		const vf *w = s->w + k * 3 * BLOCK;
		for (int j = 0; j < s->group; j++) {
			vi at = s->places[j];
			vf w0 = w[j * 3], w1 = w[j * 3 + 1], w2 = w[j * 3 + 2];
#pragma GCC unroll 34
			for (int p = first; p <= last; p++) {
				if ((p == first && !s->left) || (p == last && !s->right)) continue;
#pragma GCC unroll 2
				for (int q = 0; q < maps; q++) {
					vf v = __builtin_shuffle(load_apart(x + q * s->in_map + p * BLOCK, s->in_next), at);
					vf *a = acc + q * m;
					if (mode == ROW1) {
						if (p + 1 < m) a[p + 1] += v * w0;
						if (p >= 0 && p < m) a[p] += v * w1;
						if (p >= 1) a[p - 1] += v * w2;
					} else if (mode == ROW2) {
						if (p % 2 == 0) {
							a[p / 2] += v * w1;
						} else {
							if (p + 1 < 2 * m) a[(p + 1) / 2] += v * w0;
							if (p >= 1) a[(p - 1) / 2] += v * w2;
						}
					} else {
						if (p >= 1 && 2 * p - 1 < m) a[2 * p - 1] += v * w0;
						if (2 * p < m) a[2 * p] += v * w1;
						if (2 * p + 1 < m) a[2 * p + 1] += v * w2;
					}
				}
			}
		}
	}
#pragma GCC unroll 2
	for (int q = 0; q < maps; q++)
#pragma GCC unroll 16
		for (int r = 0; r < m; r++) store_apart(s->out + q * s->out_map + r * BLOCK, s->out_next, acc[q * m + r]);
}

// How many of the outputs that are left in a row to do next: what there is code
// for. Only the last of a row can be odd.
static int segment_size(int left, int maps) {
	static const int sizes[] = {16, 14, 8, 7, 4, 2, 1};
	for (int i = 0;; i++) {
		int m = sizes[i];
		if (m > left || m * maps > SUMS) continue;
		if (m == 16 && left % 16 != 0 && left % 14 == 0) continue;
		if (m == 1 || m % 7 || left % m == 0) return m;
	}
}

INLINE void segment_of(const group_part *s, int m, int maps, int mode) {
#define CASE(M) \
	case M: \
		if (M * maps <= SUMS) segment(s, M, maps, mode); \
		return;
	switch (m) {
		CASE(1) CASE(2) CASE(4) CASE(7) CASE(8) CASE(14) CASE(16)
	}
#undef CASE
}

// The weights of one tap: a vector for every place in the group. Rows are
// inputs; of[g] says which lanes are of group g.
INLINE void collect(const float *w, int group, const vi *of, vf *taps) {
	for (int j = 0; j < group; j++) {
		vi t = of[0] & (vi)load_apart(w + j * BLOCK, 0);
		for (int g = 1; g < BLOCK / group; g++) t |= of[g] & (vi)load_apart(w + (g * group + j) * BLOCK, 0);
		taps[j * 3] = (vf)t;
	}
}

// The rows of taps, as they are collected: those that an output row reads follow each other.
static const int row_of[3][3] = {[ROW1] = {0, 1, 2}, [ROW2] = {0, 1, 2}, [ROW2_BACK] = {1, 2, 0}};
// Where their inputs lie, in rows from the first.
static const int shift_of[3][3] = {[ROW1] = {0, 1, 2}, [ROW2] = {0, 1, 2}, [ROW2_BACK] = {0, 0, 1}};

// An output block of one or two vectors of images.
INLINE void group_map(group_part s, const float *x, float *y, int maps, int blocks, int ih, int iw, int oh, int ow, int mode) {
	// Whether the last output reads an input behind it.
	int right = mode == ROW1 ? 0 : mode == ROW2 ? 2 * ow - 1 < iw : ow / 2 < iw;
	for (int oy = 0; oy < oh; oy++) {
		int row = mode == ROW1 ? oy - 1 : mode == ROW2 ? 2 * oy - 1 : oy / 2; // the first; -1 is not there
		int k0 = row < 0, k1 = ih - row < 3 ? ih - row : 3;
		if (mode == ROW2_BACK) k0 = oy % 2, k1 = oy % 2 == 0 ? 1 : row + 1 < ih ? 3 : 2;
		s.k0 = k0 * blocks, s.k1 = k1 * blocks, s.left = mode == ROW2_BACK;
		s.in = x + (int64_t)row * iw * BLOCK, s.out = y + (int64_t)oy * ow * BLOCK;
		for (int left = ow, m; left > 0; left -= m) {
			m = segment_size(left, maps);
			s.right = right || left > m;
			segment_of(&s, m, maps, mode);
			s.in += (mode == ROW1 ? m : mode == ROW2 ? 2 * m : m / 2) * BLOCK;
			s.out += m * BLOCK, s.left = 1;
		}
	}
}

// Forward, or backward data, whose weights have the inner dimensions exchanged.
INLINE void group_product(const ns_shape *s, const float *in, const float *w, float *out, int mode, int data) {
	int blocks = s->ic / BLOCK, ins = blocks / s->groups, group = s->group < BLOCK ? s->group : BLOCK;
	int ih = data ? s->oh : s->ih, iw = data ? s->ow : s->iw, oh = data ? s->ih : s->oh, ow = data ? s->iw : s->ow;
	int64_t in_map = (int64_t)ih * iw * BLOCK, out_map = (int64_t)oh * ow * BLOCK;
	vi places[BLOCK] ALIGNED;
	for (int j = 0; j < group; j++) places[j] = place(group, j);
	vi of[BLOCK / 2] ALIGNED;
	for (int g = 0; g < BLOCK / group; g++)
		for (int l = 0; l < LANES; l++) of[g][l] = -(l % BLOCK / group == g);
	int64_t rows[3 * MOST_BLOCKS];
	for (int k = 0; k < 3; k++)
		for (int i = 0; i < ins; i++) rows[k * ins + i] = i * in_map + shift_of[mode][k] * iw * BLOCK;
	vf taps[3 * MOST_BLOCKS * 3 * BLOCK] ALIGNED;
	group_part part = {.rows = rows, .w = taps, .places = places, .group = group, .in_map = IMAGES * blocks * in_map, .out_map = IMAGES * blocks * out_map};
	for (int to = 0; to < blocks; to++) {
		int g = to / ins, o = to % ins;
		for (int i = 0; i < ins; i++) {
			const float *p = w + ((int64_t)g * ins * ins + (data ? i * ins + o : o * ins + i)) * 9 * BLOCK * BLOCK;
			for (int k = 0; k < 9; k++) {
				int tap = row_of[mode][k / 3] * 3 + k % 3, turned = data && mode == ROW1 ? 8 - tap : tap;
				collect(p + turned * BLOCK * BLOCK, group, of, taps + (k / 3 * ins + i) * 3 * BLOCK + k % 3);
			}
		}
		for (int n = 0; n < s->n;) {
			const float *x = in + ((int64_t)n * blocks + g * ins) * in_map;
			float *y = out + ((int64_t)n * blocks + to) * out_map;
			int rest = s->n - n, maps = ow <= 8 && rest >= 2 * IMAGES ? 2 : 1; // two for enough sums
			// A last image without a second one is done twice, into the same place.
			part.in_next = rest >= IMAGES ? blocks * in_map : 0, part.out_next = rest >= IMAGES ? blocks * out_map : 0;
			if (maps == 2) group_map(part, x, y, 2, ins, ih, iw, oh, ow, mode);
			else group_map(part, x, y, 1, ins, ih, iw, oh, ow, mode);
			n += maps * IMAGES;
		}
	}
}

// The weight gradient between an input block x and an output block d. Here lane l of a
// sum belongs to input l and output j of its group.
INLINE void group_gradient(const ns_shape *s, const float *x, const float *d, float *dw, int group, int stride) {
	int ih = s->ih, iw = s->iw, oh = s->oh, ow = s->ow, blocks = s->ic / BLOCK;
	int full = iw < 2 ? 0 : (iw - 2) / stride + 1; // outputs whose last tap is inside
	if (full > ow) full = ow;
	for (int kh = 0; kh < 3; kh++) {
		vf acc[3 * 8];
#pragma GCC unroll 24
		for (int i = 0; i < 3 * group; i++) acc[i] = splat(0);
		for (int n = 0; n < s->n; n += IMAGES) {
			const float *xm = x + (int64_t)n * blocks * ih * iw * BLOCK, *dm = d + (int64_t)n * blocks * oh * ow * BLOCK;
			int64_t x_next = (int64_t)blocks * ih * iw * BLOCK, d_next = (int64_t)blocks * oh * ow * BLOCK;
			vi counts = ~(vi){};
			if (n + IMAGES > s->n) { // an image without a second one
				x_next = d_next = 0;
				for (int l = BLOCK; l < LANES; l++) counts[l] = 0;
			}
			for (int oy = 0; oy < oh; oy++) {
				int iy = oy * stride + kh - 1;
				if (iy < 0 || iy >= ih) continue;
				const float *p = xm + (int64_t)iy * iw * BLOCK, *q = dm + (int64_t)oy * ow * BLOCK;
				vf x0 = splat(0);
				for (int ox = 0; ox < ow; ox++, p += stride * BLOCK, q += BLOCK) {
					vf x1 = load_apart(p, x_next), x2 = ox < full ? load_apart(p + BLOCK, x_next) : splat(0);
					vf t = (vf)(counts & (vi)load_apart(q, d_next));
#pragma GCC unroll 8
					for (int j = 0; j < group; j++) {
						vf g = __builtin_shuffle(t, place(group, j));
						acc[j * 3] += x0 * g, acc[j * 3 + 1] += x1 * g, acc[j * 3 + 2] += x2 * g;
					}
					x0 = stride == 1 ? x1 : x2;
				}
			}
		}
		for (int kw = 0; kw < 3; kw++) {
			float *p = dw + (kh * 3 + kw) * BLOCK * BLOCK;
			for (int j = 0; j < group; j++)
				for (int lane = 0; lane < LANES; lane++) {
					int l = lane % BLOCK;
					p[l * BLOCK + l / group * group + j] += acc[j * 3 + kw][lane];
				}
		}
	}
}

INLINE void group_weights(const ns_shape *s, const float *x, const float *d, float *dw, int group, int stride) {
	int blocks = s->ic / BLOCK, ins = blocks / s->groups;
	memset(dw, 0, sizeof(float) * blocks * ins * 9 * BLOCK * BLOCK);
	for (int o = 0; o < blocks; o++)
		for (int i = 0; i < ins; i++) {
			const float *xb = x + (int64_t)(o / ins * ins + i) * s->ih * s->iw * BLOCK, *db = d + (int64_t)o * s->oh * s->ow * BLOCK;
			float *p = dw + (int64_t)(o * ins + i) * 9 * BLOCK * BLOCK;
			group_gradient(s, xb, db, p, group, stride);
		}
}

// The variants are functions of their own: one that held them all would be too
// much for the compiler's register allocation.
typedef void group_variant(const ns_shape *s, float *x, float *w, float *y);
#define VARIANT static __attribute__((noinline)) void
VARIANT group_row1(const ns_shape *s, float *in, float *w, float *out, int data) { group_product(s, in, w, out, ROW1, data); }
VARIANT group_row2(const ns_shape *s, float *in, float *w, float *out) { group_product(s, in, w, out, ROW2, 0); }
VARIANT group_row2_back(const ns_shape *s, float *in, float *w, float *out) { group_product(s, in, w, out, ROW2_BACK, 1); }
#define WEIGHTS(G) \
	VARIANT group_w1_##G(const ns_shape *s, float *x, float *w, float *y) { group_weights(s, x, y, w, G, 1); } \
	VARIANT group_w2_##G(const ns_shape *s, float *x, float *w, float *y) { group_weights(s, x, y, w, G, 2); }
WEIGHTS(2)
WEIGHTS(4)
#ifdef __AVX512VL__
WEIGHTS(8)
#endif
#undef WEIGHTS
#undef VARIANT

// Arguments as in ns_kernels.direct.
static void ns_group(const ns_shape *s, int which, float *src, float *w, float *dst) {
	static group_variant *const weights[][2] = {
		{group_w1_2, group_w2_2},
		{group_w1_4, group_w2_4},
#ifdef __AVX512VL__
		{group_w1_8, group_w2_8},
#endif
	};
	int in_block = s->group < BLOCK ? s->group : BLOCK, size = in_block == 2 ? 0 : in_block == 4 ? 1 : 2;
	if (which == 2) weights[size][s->stride - 1](s, src, w, dst);
	else if (s->stride == 1) group_row1(s, which ? dst : src, w, which ? src : dst, which);
	else if (which == 0) group_row2(s, src, w, dst);
	else group_row2_back(s, dst, w, src);
}
#endif
