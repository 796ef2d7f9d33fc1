// 3×3 convolutions of groups of 2, 4 or 8 channels that lie within one block.
// For the narrower ones oneDNN has nothing but block-diagonal kernels, which
// multiply B/group times as much as there is to multiply.
//
// Weights are [C/B][3][3][B in][B out] as oneDNN's blocked layouts have
// them, zero outside of the groups; the same for all three directions. A
// kernel first collects what is not zero: for every tap and every place j within a group a
// vector, whose lane l is the weight between channel l and channel j of l's group.
//
// A vector is LANES wide and holds LANES/BLOCK images of one position.
#ifndef NARROW_H
#define NARROW_H
#include "ns.h"
#include "vec.h"
#include <string.h>

#define IMAGES (LANES / BLOCK)

// Sums at a time: as many as the registers hold beside weights and input. Each
// waits for itself, so a kernel wants many.
#ifdef __AVX512VL__
#define SUMS 16
#define WIDEST 8
#else
#define SUMS 12
#define WIDEST 4
#endif

// A position; next: how far the same position of the next image is.
INLINE vf load_block(const float *p, int64_t next) {
#if IMAGES == 1
	return load(p);
#else
	return (vf)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(p)), _mm256_loadu_ps(p + next), 1);
#endif
}

INLINE void store_block(float *p, int64_t next, vf v) {
#if IMAGES == 1
	store(p, v);
#else
	_mm256_storeu_ps(p, _mm512_castps512_ps256((__m512)v));
	_mm256_storeu_ps(p + next, _mm512_extractf32x8_ps((__m512)v, 1));
#endif
}

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
	const float *in[3]; // rows of inputs, from the part's first on
	const vf *w[3];     // their weights, each [group][3]
	const vi *places;   // [group]
	float *out;
	int rows, group;
	int left, right;            // whether the input before and after the part exists
	int64_t in_next, out_next;  // from one image to the next
	int64_t in_map, out_map;    // from one vector of images to the next
} narrow_part;

// m outputs in each of some vectors of images.
INLINE void segment(const narrow_part *s, int m, int maps, int mode) {
	vf acc[2 * 16]; // SUMS at most
#pragma GCC unroll 16
	for (int r = 0; r < m * maps; r++) acc[r] = splat(0);
	const int first = mode == ROW2_BACK ? 0 : -1, last = mode == ROW1 ? m : mode == ROW2 ? 2 * m - 1 : m / 2;
	for (int k = 0; k < s->rows; k++)
		for (int j = 0; j < s->group; j++) {
			vi at = s->places[j];
			vf w0 = s->w[k][j * 3], w1 = s->w[k][j * 3 + 1], w2 = s->w[k][j * 3 + 2];
#pragma GCC unroll 34
			for (int p = first; p <= last; p++) {
				if ((p == first && !s->left) || (p == last && !s->right)) continue;
#pragma GCC unroll 2
				for (int q = 0; q < maps; q++) {
					vf v = __builtin_shuffle(load_block(s->in[k] + q * s->in_map + p * BLOCK, s->in_next), at);
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
#pragma GCC unroll 2
	for (int q = 0; q < maps; q++)
#pragma GCC unroll 16
		for (int r = 0; r < m; r++) store_block(s->out + q * s->out_map + r * BLOCK, s->out_next, acc[q * m + r]);
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

INLINE void segment_of(const narrow_part *s, int m, int maps, int mode) {
#define CASE(M) \
	case M: \
		if (M * maps <= SUMS) segment(s, M, maps, mode); \
		return;
	switch (m) {
		CASE(1) CASE(2) CASE(4) CASE(7) CASE(8) CASE(14) CASE(16)
	}
#undef CASE
}

// A channel block of one or two vectors of images.
INLINE void narrow_map(narrow_part s, const float *x, float *y, int maps, const vf w[3][3 * WIDEST], int ih, int iw, int oh, int ow, int mode) {
	// Whether the last output reads an input behind it.
	int right = mode == ROW1 ? 0 : mode == ROW2 ? 2 * ow - 1 < iw : ow / 2 < iw;
	for (int oy = 0; oy < oh; oy++) {
		s.rows = 0, s.left = mode == ROW2_BACK;
		for (int kh = 0; kh < 3; kh++) {
			int iy = mode == ROW1 ? oy + kh - 1 : mode == ROW2 ? 2 * oy + kh - 1 : oy + 1 - kh;
			if (mode == ROW2_BACK) {
				if (iy % 2) continue;
				iy /= 2;
			}
			if (iy < 0 || iy >= ih) continue;
			s.in[s.rows] = x + (int64_t)iy * iw * BLOCK, s.w[s.rows++] = w[kh];
		}
		s.out = y + (int64_t)oy * ow * BLOCK;
		for (int left = ow, m; left > 0; left -= m) {
			m = segment_size(left, maps);
			s.right = right || left > m;
			segment_of(&s, m, maps, mode);
			for (int k = 0; k < s.rows; k++) s.in[k] += (mode == ROW1 ? m : mode == ROW2 ? 2 * m : m / 2) * BLOCK;
			s.out += m * BLOCK, s.left = 1;
		}
	}
}

// Forward, or backward data.
INLINE void narrow_product(const ns_shape *s, const float *in, const float *w, float *out, int mode, int data) {
	int group = s->narrow, blocks = s->ic / BLOCK;
	int ih = data ? s->oh : s->ih, iw = data ? s->ow : s->iw, oh = data ? s->ih : s->oh, ow = data ? s->iw : s->ow;
	int64_t in_map = (int64_t)ih * iw * BLOCK, out_map = (int64_t)oh * ow * BLOCK;
	vi places[WIDEST];
	for (int j = 0; j < group; j++) places[j] = place(group, j);
	narrow_part part = {.places = places, .group = group, .in_map = IMAGES * blocks * in_map, .out_map = IMAGES * blocks * out_map};
	for (int cb = 0; cb < blocks; cb++) {
		vf taps[3][3 * WIDEST];
		for (int kh = 0; kh < 3; kh++)
			for (int kw = 0; kw < 3; kw++) {
				int turned = data && mode == ROW1 ? 8 - kh * 3 - kw : kh * 3 + kw;
				const float *p = w + ((int64_t)cb * 9 + turned) * BLOCK * BLOCK;
				for (int j = 0; j < group; j++)
					for (int lane = 0; lane < LANES; lane++) {
						int l = lane % BLOCK, other = l / group * group + j;
						taps[kh][j * 3 + kw][lane] = p[data ? l * BLOCK + other : other * BLOCK + l];
					}
			}
		for (int n = 0; n < s->n;) {
			const float *x = in + ((int64_t)n * blocks + cb) * in_map;
			float *y = out + ((int64_t)n * blocks + cb) * out_map;
			int rest = s->n - n, maps = ow <= 8 && rest >= 2 * IMAGES ? 2 : 1; // two for enough sums
			// A last image without a second one is done twice, into the same place.
			part.in_next = rest >= IMAGES ? blocks * in_map : 0, part.out_next = rest >= IMAGES ? blocks * out_map : 0;
			if (maps == 2) narrow_map(part, x, y, 2, (const vf(*)[3 * WIDEST])taps, ih, iw, oh, ow, mode);
			else narrow_map(part, x, y, 1, (const vf(*)[3 * WIDEST])taps, ih, iw, oh, ow, mode);
			n += maps * IMAGES;
		}
	}
}

// The weight gradient. Here lane l of a sum belongs to input channel l and output channel j of its group.
INLINE void narrow_weights(const ns_shape *s, const float *x, const float *d, float *dw, int group, int stride) {
	int blocks = s->ic / BLOCK, ih = s->ih, iw = s->iw, oh = s->oh, ow = s->ow;
	int full = (iw - 2) / stride + 1; // outputs whose last tap is inside
	if (iw < 2) full = 0;
	if (full > ow) full = ow;
	memset(dw, 0, sizeof(float) * blocks * 9 * BLOCK * BLOCK);
	for (int cb = 0; cb < blocks; cb++)
		for (int kh = 0; kh < 3; kh++) {
			vf acc[3 * WIDEST];
#pragma GCC unroll 24
			for (int i = 0; i < 3 * group; i++) acc[i] = splat(0);
			for (int n = 0; n < s->n; n += IMAGES) {
				const float *xm = x + ((int64_t)n * blocks + cb) * ih * iw * BLOCK, *dm = d + ((int64_t)n * blocks + cb) * oh * ow * BLOCK;
				int64_t x_next = (int64_t)blocks * ih * iw * BLOCK, d_next = (int64_t)blocks * oh * ow * BLOCK;
				vi counts = place(LANES, 0) == place(LANES, 0);
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
						vf x1 = load_block(p, x_next), x2 = ox < full ? load_block(p + BLOCK, x_next) : splat(0);
						vf t = (vf)(counts & (vi)load_block(q, d_next));
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
				float *p = dw + (((int64_t)cb * 3 + kh) * 3 + kw) * BLOCK * BLOCK;
				for (int j = 0; j < group; j++)
					for (int lane = 0; lane < LANES; lane++) {
						int l = lane % BLOCK;
						p[l * BLOCK + l / group * group + j] += acc[j * 3 + kw][lane];
					}
			}
		}
}

// The variants are functions of their own: one that held them all would be too
// much for the compiler's register allocation.
typedef void narrow_variant(const ns_shape *s, float *x, float *w, float *y);
#define VARIANT static __attribute__((noinline)) void
VARIANT narrow_f1(const ns_shape *s, float *x, float *w, float *y) { narrow_product(s, x, w, y, ROW1, 0); }
VARIANT narrow_f2(const ns_shape *s, float *x, float *w, float *y) { narrow_product(s, x, w, y, ROW2, 0); }
VARIANT narrow_d1(const ns_shape *s, float *x, float *w, float *y) { narrow_product(s, y, w, x, ROW1, 1); }
VARIANT narrow_d2(const ns_shape *s, float *x, float *w, float *y) { narrow_product(s, y, w, x, ROW2_BACK, 1); }
#define WEIGHTS(G) \
	VARIANT narrow_w1_##G(const ns_shape *s, float *x, float *w, float *y) { narrow_weights(s, x, y, w, G, 1); } \
	VARIANT narrow_w2_##G(const ns_shape *s, float *x, float *w, float *y) { narrow_weights(s, x, y, w, G, 2); }
WEIGHTS(2)
WEIGHTS(4)
#if WIDEST == 8
WEIGHTS(8)
#endif
#undef WEIGHTS
#undef VARIANT

// Arguments as in ns_kernels.direct.
static void ns_narrow(const ns_shape *s, int which, float *src, float *w, float *dst) {
	static narrow_variant *const products[2][2] = {{narrow_f1, narrow_f2}, {narrow_d1, narrow_d2}};
	static narrow_variant *const weights[][2] = {
		{narrow_w1_2, narrow_w2_2},
		{narrow_w1_4, narrow_w2_4},
#if WIDEST == 8
		{narrow_w1_8, narrow_w2_8},
#endif
	};
	(which == 2 ? weights[s->narrow / 4] : products[which])[s->stride - 1](s, src, w, dst);
}
#endif
