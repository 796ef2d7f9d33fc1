// 1×1 convolutions on wide vectors. oneDNN's kernels for blocks of 8 channels use
// vectors of 8 lanes; here a vector holds two output blocks, and it is as fast
// as on blocks of 16.
//
// A vector is LANES wide and holds LANES/BLOCK blocks of output channels of one position.
// Weights are [O/B][I/B][B in][B out], for backward data with the inner two
// exchanged. All strides are in floats.
#ifndef POINTWISE_H
#define POINTWISE_H
#include "ops.h"
#include "vec.h"

// Positions at a time: a sum each.
#define POSITIONS 28

// One vector of output channels at m positions.
INLINE void positions(const ns_pointwise *s, const float *x, float *y, int m) {
	vf acc[POSITIONS];
	// The outputs lie in memory that has not been touched for long: fetch it meanwhile.
#pragma GCC unroll 28
	for (int r = 0; r < m; r += 64 / (4 * BLOCK)) {
		__builtin_prefetch(y + r * BLOCK, 1);
		if (LANES > BLOCK) __builtin_prefetch(y + s->y_next + r * BLOCK, 1);
	}
#pragma GCC unroll 28
	for (int r = 0; r < m; r++) acc[r] = splat(0);
	for (int ib = 0; ib < s->in_blocks; ib++) {
		const float *a = x + ib * s->x_block, *w = s->w + ib * s->w_block;
		for (int i = 0; i < BLOCK; i++) {
			vf t = load_apart(w + i * BLOCK, s->w_next);
#pragma GCC unroll 28
			for (int r = 0; r < m; r++) acc[r] += splat(a[r * BLOCK + i]) * t;
		}
	}
#pragma GCC unroll 28
	for (int r = 0; r < m; r++) store_apart(y + r * BLOCK, s->y_next, acc[r]);
}

// One vector of output channels of an image.
static void pointwise_product(const ns_pointwise *s) {
	const float *x = s->x;
	float *y = s->y;
	int count = (s->positions + POSITIONS - 1) / POSITIONS;
	for (int left = s->positions, m; left > 0; left -= m, count--) {
		m = (left + count - 1) / count;
		switch (m) {
#define CASE(M) case M: positions(s, x, y, M); break;
			CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10)
			CASE(11) CASE(12) CASE(13) CASE(14) CASE(15) CASE(16) CASE(17) CASE(18) CASE(19) CASE(20)
			CASE(21) CASE(22) CASE(23) CASE(24) CASE(25) CASE(26) CASE(27) CASE(28)
#undef CASE
		}
		x += m * BLOCK, y += m * BLOCK;
	}
}

// The weights between one vector of output channels and some blocks of input channels.
INLINE void gradient(const ns_pointwise *s, int blocks) {
	vf acc[3 * 8];
#pragma GCC unroll 24
	for (int i = 0; i < blocks * BLOCK; i++) acc[i] = splat(0);
	for (int n = 0; n < s->images; n++) {
		const float *x = s->x + n * s->x_image, *d = s->y + n * s->y_image;
		for (int p = 0; p < s->positions; p++, x += BLOCK, d += BLOCK) {
			vf t = load_apart(d, s->y_next);
#pragma GCC unroll 3
			for (int b = 0; b < blocks; b++)
#pragma GCC unroll 16
				for (int i = 0; i < BLOCK; i++) acc[b * BLOCK + i] += splat(x[b * s->x_block + i]) * t;
		}
	}
#pragma GCC unroll 3
	for (int b = 0; b < blocks; b++)
#pragma GCC unroll 16
		for (int i = 0; i < BLOCK; i++) store_apart(s->dw + b * s->w_block + i * BLOCK, s->w_next, acc[b * BLOCK + i]);
}

static void pointwise_gradient(const ns_pointwise *s) {
	switch (s->in_blocks) {
	case 1: gradient(s, 1); break;
#if BLOCK == 8
	case 2: gradient(s, 2); break;
	case 3: gradient(s, 3); break;
#endif
	}
}
#endif
