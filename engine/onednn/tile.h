// Convolutions of kernel 1 or 3 by register tiles; docs/kernels.md explains tiles, packing and layouts.
//
// A tile is W vectors of output channels at M positions of a row, in each of Q images. For every
// input channel it loads the weights of W vectors and, position by position, one input
// that all lanes share: each weight serves M×Q sums, each input W vectors and up to 3 taps.
// Every sum is taken in the same order whatever the tile: rows of the kernel, input
// channels, taps. So the tile decides about speed alone.
#ifndef TILE_H
#define TILE_H
#pragma GCC optimize("O2") // what counts is unrolled by hand; it compiles in three quarters of the time
#include "ops.h"
#include "vec.h"
#include <string.h>

#define HALVES (LANES / BLOCK) // blocks of output channels to a vector

// How inputs meet outputs along a row: by one tap; by three at stride 1, output r reads inputs r-1 to r+1; at
// stride 2; and the reverse of that, which is backward data (of stride 1 it is a
// convolution again, with the taps turned around).
enum { POINT, ROW1, ROW2, ROW2_BACK };

// Keeps a value that more than one multiply-add uses in a register: the compiler would load it for each again.
#if !defined(__x86_64__)
#define HOLD(v) ((void)0)
#elif LANES == 16
#define HOLD(v) __asm__("" : "+v"(v))
#else
#define HOLD(v) __asm__("" : "+x"(v))
#endif

// What a tile works on. Distances in floats.
typedef struct {
	const float *x;          // the input of the first output in the first row that it may read
	const float *w;
	float *y;
	int64_t x_row[3], w_row; // from there to the rows of the kernel; from one to the next in w
	int k0, k1;              // the rows that are there
	int blocks;              // of input channels
	int64_t x_block;
	int64_t w_next, y_next;  // from one vector of outputs to the next
	int64_t y_apart;         // between the halves of a vector
	int whole;               // vectors of which both halves are there
	int64_t x_image, y_image;
	int left, right;         // whether the input before and after the tile's exists
	int add;                 // to what is in y
	const float *bias;       // of the outputs, to add; or NULL
	int act;                 // what to apply to the sums
} tile_part;

INLINE void tile_store(const tile_part *s, float *y, int v, vf sum) {
	if (HALVES == 1 || v < s->whole) store_apart(y, s->y_apart, sum);
	else store_half(y, sum);
}

INLINE void tile(const tile_part *s, int W, int Q, int M, int mode) {
	const int taps = mode == POINT ? 1 : 3;
	vf acc[28];
	// The outputs lie in memory that has not been touched for long: fetch it meanwhile.
#pragma GCC unroll 4
	for (int v = 0; v < W; v++)
#pragma GCC unroll 4
		for (int q = 0; q < Q; q++)
#pragma GCC unroll 28
			for (int r = 0; r < M; r++) {
				float *y = s->y + v * s->y_next + q * s->y_image + r * BLOCK;
				vf *a = &acc[(v * Q + q) * M + r];
				if (r % (16 / BLOCK) == 0) {
					__builtin_prefetch(y, 1);
					if (HALVES == 2) __builtin_prefetch(y + s->y_apart, 1);
				}
				*a = splat(0);
			}
	if (s->add)
#pragma GCC unroll 4
		for (int v = 0; v < W; v++)
#pragma GCC unroll 4
			for (int q = 0; q < Q; q++)
#pragma GCC unroll 28
				for (int r = 0; r < M; r++) acc[(v * Q + q) * M + r] = load_apart(s->y + v * s->y_next + q * s->y_image + r * BLOCK, v < s->whole ? s->y_apart : 0);
	if (s->bias)
#pragma GCC unroll 4
		for (int v = 0; v < W; v++) {
			vf bias = load_apart(s->bias + v * LANES, v < s->whole ? BLOCK : 0);
#pragma GCC unroll 28
			for (int r = 0; r < Q * M; r++) acc[v * Q * M + r] += bias;
		}
	const int first = mode == POINT || mode == ROW2_BACK ? 0 : -1;
	const int last = mode == POINT ? M - 1 : mode == ROW1 ? M : mode == ROW2 ? 2 * M - 1 : M / 2;
	for (int k = s->k0; k < s->k1; k++) {
		const float *w = s->w + k * s->w_row;
		for (int b = 0; b < s->blocks; b++) {
			const float *x = s->x + s->x_row[k] + b * s->x_block;
#pragma GCC unroll 4
			for (int i = 0; i < BLOCK; i++, x++, w += taps * LANES) {
				vf t[12];
#pragma GCC unroll 4
				for (int v = 0; v < W; v++)
#pragma GCC unroll 3
					for (int j = 0; j < taps; j++) {
						t[v * 3 + j] = load(w + v * s->w_next + j * LANES);
						HOLD(t[v * 3 + j]);
					}
#pragma GCC unroll 30
				for (int p = first; p <= last; p++) {
					if (mode != POINT && ((p == first && !s->left) || (p == last && !s->right))) continue;
#pragma GCC unroll 4
					for (int q = 0; q < Q; q++) {
						vf u = splat(x[q * s->x_image + p * BLOCK]);
						if (W * taps > 1) HOLD(u);
#pragma GCC unroll 4
						for (int v = 0; v < W; v++) {
							vf *a = acc + (v * Q + q) * M, *g = t + v * 3;
							if (mode == POINT) {
								a[p] += u * g[0];
							} else if (mode == ROW1) {
								if (p + 1 < M) a[p + 1] += u * g[0];
								if (p >= 0 && p < M) a[p] += u * g[1];
								if (p >= 1) a[p - 1] += u * g[2];
							} else if (mode == ROW2) {
								if (p % 2 == 0) {
									a[p / 2] += u * g[1];
								} else {
									if (p + 1 < 2 * M) a[(p + 1) / 2] += u * g[0];
									if (p >= 1) a[(p - 1) / 2] += u * g[2];
								}
							} else {
								if (p >= 1 && 2 * p - 1 < M) a[2 * p - 1] += u * g[0];
								if (2 * p < M) a[2 * p] += u * g[1];
								if (2 * p + 1 < M) a[2 * p + 1] += u * g[2];
							}
						}
					}
				}
			}
		}
	}
	if (s->act == NS_RELU)
#pragma GCC unroll 28
		for (int r = 0; r < W * Q * M; r++) acc[r] = maximum(acc[r], splat(0));
#pragma GCC unroll 4
	for (int v = 0; v < W; v++)
#pragma GCC unroll 4
		for (int q = 0; q < Q; q++)
#pragma GCC unroll 28
			for (int r = 0; r < M; r++) tile_store(s, s->y + v * s->y_next + q * s->y_image + r * BLOCK, v, acc[(v * Q + q) * M + r]);
}

// The tiles that there are, at kernel 1, and at kernel 3 with stride 1 and 2: as many sums as the
// registers hold beside the weights and an input.
#define TILES4(F, K, W, Q) F(K, W, Q, 1) F(K, W, Q, 2) F(K, W, Q, 3) F(K, W, Q, 4)
#define TILES6(F, K, W, Q) TILES4(F, K, W, Q) F(K, W, Q, 5) F(K, W, Q, 6)
#define TILES7(F, K, W, Q) TILES6(F, K, W, Q) F(K, W, Q, 7)
#define TILES8(F, K, W, Q) TILES7(F, K, W, Q) F(K, W, Q, 8)
#define TILES9(F, K, W, Q) TILES8(F, K, W, Q) F(K, W, Q, 9)
#define TILES12(F, K, W, Q) TILES9(F, K, W, Q) F(K, W, Q, 10) F(K, W, Q, 11) F(K, W, Q, 12)
#define TILES14(F, K, W, Q) TILES12(F, K, W, Q) F(K, W, Q, 13) F(K, W, Q, 14)
#define TILES28(F, K, W, Q) TILES14(F, K, W, Q) F(K, W, Q, 15) F(K, W, Q, 16) F(K, W, Q, 17) F(K, W, Q, 18) F(K, W, Q, 19) F(K, W, Q, 20) \
	F(K, W, Q, 21) F(K, W, Q, 22) F(K, W, Q, 23) F(K, W, Q, 24) F(K, W, Q, 25) F(K, W, Q, 26) F(K, W, Q, 27) F(K, W, Q, 28)
#if LANES == 16
#define POINTS(F) TILES28(F, POINT, 1, 1) TILES14(F, POINT, 2, 1) TILES9(F, POINT, 3, 1) TILES6(F, POINT, 4, 1)
#define ROWS(F, K) TILES14(F, K, 1, 1) TILES7(F, K, 1, 2) TILES4(F, K, 1, 4) TILES12(F, K, 2, 1) TILES6(F, K, 2, 2) TILES7(F, K, 3, 1) TILES4(F, K, 4, 1)
#define STEPS(F, K) TILES8(F, K, 1, 1) TILES7(F, K, 1, 2) TILES8(F, K, 2, 1) TILES4(F, K, 2, 2) TILES4(F, K, 3, 1) TILES4(F, K, 4, 1)
#else
#define POINTS(F) TILES12(F, POINT, 1, 1) TILES6(F, POINT, 2, 1) TILES4(F, POINT, 3, 1)
#define ROWS(F, K) TILES12(F, K, 1, 1) TILES6(F, K, 1, 2) TILES4(F, K, 1, 3) TILES4(F, K, 2, 1)
#define STEPS(F, K) TILES8(F, K, 1, 1) TILES6(F, K, 1, 2) TILES4(F, K, 1, 3) TILES4(F, K, 2, 1)
#endif

enum { MOST_W = 4, MOST_Q = 4, MOST_M = 28 };
typedef void tile_run(const tile_part *s);
// Functions of their own: one that held them all would be too much for the compiler's register allocation.
#define FUNCTION(K, W, Q, M) static __attribute__((noinline)) void tile_##K##_##W##_##Q##_##M(const tile_part *s) { tile(s, W, Q, M, K); }
POINTS(FUNCTION)
ROWS(FUNCTION, ROW1)
STEPS(FUNCTION, ROW2)
STEPS(FUNCTION, ROW2_BACK)
#undef FUNCTION
#define ENTRY(K, W, Q, M) [K][W][Q][M] = tile_##K##_##W##_##Q##_##M,
static tile_run *const tiles[4][MOST_W + 1][MOST_Q + 1][MOST_M + 1] = {POINTS(ENTRY) ROWS(ENTRY, ROW1) STEPS(ENTRY, ROW2) STEPS(ENTRY, ROW2_BACK)};
#undef ENTRY

static int most_positions(int mode, int w, int q) {
	int m = MOST_M;
	while (m > 0 && !tiles[mode][w][q][m]) m--;
	return m;
}

// Cycles per input channel of a row of outputs in q images: what is slowest of two multiply-adds a
// cycle, somewhat more than one load (what the weaker processors do), and the wait of a sum for itself.
static double row_cost(int mode, int w, int q, int ow) {
	int most = most_positions(mode, w, q), count = (ow + most - 1) / most, taps = mode == POINT ? 1 : 3;
	double cost = 0;
	for (int left = ow, m; left > 0; left -= m, count--) {
		m = (left + count - 1) / count;
		int inputs = mode == POINT ? m : mode == ROW1 ? m + 2 : mode == ROW2 ? 2 * m + 1 : m / 2 + 1;
		double multiply = (mode == ROW2_BACK ? 1.5 : taps) * w * q * m / 2, loads = 0.9 * (w * taps + q * inputs), wait = mode == ROW2_BACK ? 8 : 5 * taps;
		double c = multiply > loads ? multiply : loads;
		cost += (c > wait ? c : wait) + 2; // the loop
	}
	return cost;
}

// The tile for so many vectors of outputs and images.
static ns_tile choose(const ns_shape *s, int mode, int vectors, int ow, int images) {
	ns_tile best = {1, most_positions(mode, 1, 1), 1};
	if (s->vectors && s->vectors <= vectors && s->images <= images && most_positions(mode, s->vectors, s->images)) return (ns_tile){s->vectors, most_positions(mode, s->vectors, s->images), s->images};
	double least = 0;
	for (int w = 1; w <= MOST_W && w <= vectors; w++)
		for (int q = 1; q <= MOST_Q && q <= images; q++) {
			if (!tiles[mode][w][q][1]) continue;
			int w1 = vectors % w, q1 = images % q;
			double cost = 0;
			// Vectors and images that are left over go by tiles of one image.
			cost += (double)(vectors / w) * (images / q) * row_cost(mode, w, q, ow);
			if (q1) cost += (double)(vectors / w) * q1 * row_cost(mode, w, 1, ow);
			if (w1) cost += (double)images * row_cost(mode, w1, 1, ow);
			if (least == 0 || cost < least) least = cost, best = (ns_tile){w, most_positions(mode, w, q), q};
		}
	return best;
}

// The maps of a pass: forward, or backward data, which goes the other way.
typedef struct {
	int mode, blocks, vectors, out_blocks; // of a group
	int ih, iw, oh, ow, images;
	int64_t in_map, out_map;
} tile_pass;

static tile_pass pass_of(const ns_shape *s, int data) {
	tile_pass p = {.mode = s->kernel == 1 ? POINT : s->stride == 1 ? ROW1 : data ? ROW2_BACK : ROW2, .images = s->n};
	int in = s->ic / BLOCK / s->groups, out = s->oc / BLOCK / s->groups;
	p.blocks = data ? out : in, p.out_blocks = data ? in : out, p.vectors = (p.out_blocks + HALVES - 1) / HALVES;
	p.ih = data ? s->oh : s->ih, p.iw = data ? s->ow : s->iw, p.oh = data ? s->ih : s->oh, p.ow = data ? s->iw : s->ow;
	if (p.mode == POINT) { // positions that a stride picks have been picked
		p.ih = p.oh = 1, p.iw = p.ow = s->oh * s->ow;
	}
	p.in_map = (int64_t)p.ih * p.iw * BLOCK, p.out_map = (int64_t)p.oh * p.ow * BLOCK;
	return p;
}

// An activation that takes more than registers: of what a tile has written, from the first-level cache.
static __attribute__((noinline)) void activate(const tile_part *s, int W, int Q, int M) {
	for (int v = 0; v < W; v++)
		for (int q = 0; q < Q; q++)
			for (int r = 0; r < M; r++) {
				float *y = s->y + v * s->y_next + q * s->y_image + r * BLOCK;
				vf z = load_apart(y, v < s->whole ? s->y_apart : 0);
				tile_store(s, y, v, act_of(z, s->act));
			}
}

// The rows of outputs of q images by tiles of w vectors.
static void tile_rows(tile_part s, const tile_pass *p, int w, int q) {
	static const int shift[4][3] = {[POINT] = {0}, [ROW1] = {0, 1, 2}, [ROW2] = {0, 1, 2}, [ROW2_BACK] = {0, 0, 1}};
	const float *x = s.x;
	float *y = s.y;
	const int mode = p->mode, most = most_positions(mode, w, q), even = mode == ROW2_BACK ? most & ~1 : most;
	// Parts of a row: the first ones are longer by one. Of ROW2_BACK all but the last are even.
	const int parts = (p->ow + even - 1) / even, part = p->ow / parts, longer = p->ow % parts;
	for (int k = 0; k < 3; k++) s.x_row[k] = (int64_t)shift[mode][k] * p->iw * BLOCK;
	// Whether the last output reads an input behind it.
	int right = mode == ROW2 ? 2 * p->ow - 1 < p->iw : mode == ROW2_BACK ? p->ow / 2 < p->iw : 0;
	for (int oy = 0; oy < p->oh; oy++) {
		int row = mode == POINT ? 0 : mode == ROW1 ? oy - 1 : mode == ROW2 ? 2 * oy - 1 : oy / 2; // the first; -1 is not there
		s.k0 = row < 0, s.k1 = mode == POINT ? 1 : p->ih - row < 3 ? p->ih - row : 3, s.left = 0;
		if (mode == ROW2_BACK) s.k0 = oy % 2, s.k1 = oy % 2 == 0 ? 1 : row + 1 < p->ih ? 3 : 2, s.left = 1;
		s.x = x + (int64_t)row * p->iw * BLOCK, s.y = y + (int64_t)oy * p->ow * BLOCK;
		for (int left = p->ow, m, i = 0; left > 0; left -= m, i++) {
			m = part + (i < longer);
			if (mode == ROW2_BACK) m = (m + 1) & ~1;
			if (m > left) m = left;
			s.right = right || left > m;
			tiles[mode][w][q][m](&s);
			if (s.act > NS_RELU) activate(&s, w, q, m);
			s.x += (mode == ROW2 ? 2 * m : mode == ROW2_BACK ? m / 2 : m) * BLOCK;
			s.y += m * BLOCK, s.left = 1;
		}
	}
}

// Weights that are read again and again: to stay in the first-level cache.
#define WEIGHTS_AT_ONCE (24 << 10)

// Forward, or backward data. x, y: what is read and written; w: [groups][vectors][rows][input channels][taps][LANES];
// bias: of the outputs, or NULL.
static void tile_product(const ns_shape *s, int data, const float *x, const float *w, const float *bias, float *y) {
	const tile_pass p = pass_of(s, data);
	const ns_tile t = choose(s, p.mode, p.vectors, p.ow, p.images);
	const int taps = s->kernel;
	const int64_t row = (int64_t)p.blocks * BLOCK * taps * LANES, vector = row * taps;
	tile_part a = {.w_row = row, .x_block = p.in_map, .w_next = vector, .y_next = HALVES * p.out_map, .y_apart = p.out_map,
		.x_image = s->groups * p.blocks * p.in_map, .y_image = s->groups * p.out_blocks * p.out_map};
	int at_once = WEIGHTS_AT_ONCE / (t.vectors * taps * taps * BLOCK * LANES * (int)sizeof(float));
	if (at_once < 1) at_once = 1;
	for (int g = 0; g < s->groups; g++)
		for (int v = 0, m; v < p.vectors; v += m) {
			m = p.vectors - v < t.vectors ? p.vectors - v : t.vectors;
			a.whole = p.out_blocks / HALVES - v;
			for (int b = 0; b < p.blocks; b += at_once) {
				a.blocks = p.blocks - b < at_once ? p.blocks - b : at_once, a.add = b > 0 || s->sum;
				a.bias = bias && b == 0 ? bias + (g * p.out_blocks + v * HALVES) * BLOCK : NULL;
				a.act = b + a.blocks == p.blocks ? s->act : NS_IDENTITY;
				a.w = w + (g * p.vectors + v) * vector + (int64_t)b * BLOCK * taps * LANES;
				for (int n = 0, q; n < p.images; n += q) {
					q = m == t.vectors && p.images - n >= t.images ? t.images : 1;
					a.x = x + n * a.x_image + (int64_t)(g * p.blocks + b) * p.in_map;
					a.y = y + n * a.y_image + (int64_t)(g * p.out_blocks + v * HALVES) * p.out_map;
					tile_rows(a, &p, m, q);
				}
			}
		}
}

// The weight gradient: D vectors of the outputs' gradient times X input channels, for one row of the kernel.
typedef struct {
	const float *x, *d;
	float *w;
	int images, rows, ow, iw;
	int64_t x_image, d_image, x_row, d_row;
	int64_t d_next, w_next, d_apart;
	int whole, add;
} tile_sums;

// POINT: rows follow each other, ow is the length of all.
INLINE void tile_gradient(const tile_sums *s, int D, int X, int mode) {
	const int taps = mode == POINT ? 1 : 3;
	vf acc[28];
	int64_t apart[4];
#pragma GCC unroll 4
	for (int v = 0; v < D; v++) apart[v] = v < s->whole ? s->d_apart : 0; // a half that is not there counts for nothing in the end
#pragma GCC unroll 28
	for (int r = 0; r < D * X * taps; r++) acc[r] = splat(0);
#define SUM(tap, u, of) acc[(v * X + i) * taps + (tap)] += (u) * (of)
	for (int n = 0; n < s->images; n++) {
		for (int y = 0; y < s->rows; y++) {
			const float *x = s->x + n * s->x_image + y * s->x_row, *d = s->d + n * s->d_image + y * s->d_row;
			vf before[4], here[4], after[4];
			if (mode != POINT)
#pragma GCC unroll 4
				for (int v = 0; v < D; v++) before[v] = splat(0), here[v] = load_apart(d + v * s->d_next, apart[v]);
#pragma GCC unroll 2
			for (int c = 0; c < s->ow; c++) {
				if (mode == POINT) {
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) here[v] = load_apart(d + v * s->d_next, apart[v]);
				} else if (c + 1 < s->ow) {
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) after[v] = load_apart(d + v * s->d_next + BLOCK, apart[v]);
				} else {
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) after[v] = splat(0);
				}
#pragma GCC unroll 28
				for (int i = 0; i < X; i++) {
					vf u = splat(x[i]);
					if (D * taps > 1) HOLD(u);
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) {
						if (mode == POINT) SUM(0, u, here[v]);
						if (mode == ROW1) SUM(0, u, after[v]), SUM(1, u, here[v]), SUM(2, u, before[v]);
						if (mode == ROW2) SUM(1, u, here[v]);
					}
				}
				if (mode == ROW2 && 2 * c + 1 < s->iw)
#pragma GCC unroll 28
					for (int i = 0; i < X; i++) {
						vf u = splat(x[BLOCK + i]);
						HOLD(u);
#pragma GCC unroll 4
						for (int v = 0; v < D; v++) SUM(0, u, after[v]), SUM(2, u, here[v]);
					}
				x += mode == ROW2 ? 2 * BLOCK : BLOCK, d += BLOCK;
				if (mode != POINT)
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) before[v] = here[v], here[v] = after[v];
			}
		}
	}
#undef SUM
#pragma GCC unroll 4
	for (int v = 0; v < D; v++)
#pragma GCC unroll 28
		for (int r = 0; r < X * taps; r++) {
			float *w = s->w + v * s->w_next + r * LANES;
			vf sum = acc[v * X * taps + r];
			if (HALVES == 2 && v >= s->whole) sum = lower_half(sum);
			store(w, s->add ? load(w) + sum : sum);
		}
}

#if LANES == 16
#define SUMS(F) F(POINT, 1, 8) F(POINT, 2, 8) F(POINT, 3, 8) F(POINT, 4, 4)
#define SUM_ROWS(F, K) F(K, 1, 8) F(K, 2, 4)
#else
#define SUMS(F) F(POINT, 1, 8) F(POINT, 2, 4) F(POINT, 3, 4)
#define SUM_ROWS(F, K) F(K, 1, 4)
#endif
typedef void sums_run(const tile_sums *s);
#define FUNCTION(K, D, X) static __attribute__((noinline)) void sums_##K##_##D##_##X(const tile_sums *s) { tile_gradient(s, D, X, K); }
SUMS(FUNCTION)
SUM_ROWS(FUNCTION, ROW1)
SUM_ROWS(FUNCTION, ROW2)
#undef FUNCTION
static const struct {
	sums_run *run;
	int inputs;
} sums[3][5] = {
#define ENTRY(K, D, X) [K][D] = {sums_##K##_##D##_##X, X},
	SUMS(ENTRY) SUM_ROWS(ENTRY, ROW1) SUM_ROWS(ENTRY, ROW2)
#undef ENTRY
};

// So many positions at a time: the gradient's vectors stay in the first-level cache while all input channels pass.
#define POSITIONS 192

// How many vectors of the gradient to take next.
static int gradient_vectors(int mode, int left) {
	int d = 4;
	while (d > 1 && (!sums[mode][d].run || d > left)) d--;
	if (d == 4 && left != 4) d = 3;
	return d;
}

static void tile_weights(const ns_shape *s, const float *x, const float *d, float *w, int add) {
	const int in = s->ic / BLOCK / s->groups, out = s->oc / BLOCK / s->groups, vectors = (out + HALVES - 1) / HALVES, taps = s->kernel;
	const int mode = taps == 1 ? POINT : s->stride == 1 ? ROW1 : ROW2, stride = mode == POINT ? 1 : s->stride;
	const int ih = mode == POINT ? 1 : s->ih, oh = mode == POINT ? 1 : s->oh, iw = mode == POINT ? s->oh * s->ow : s->iw, ow = mode == POINT ? iw : s->ow;
	const int64_t in_map = (int64_t)ih * iw * BLOCK, out_map = (int64_t)oh * ow * BLOCK, row = (int64_t)in * BLOCK * taps * LANES, vector = row * taps;
	tile_sums a = {.x_image = s->groups * in * in_map, .d_image = s->groups * out * out_map, .x_row = (int64_t)stride * iw * BLOCK, .d_row = ow * BLOCK,
		.d_next = HALVES * out_map, .d_apart = out_map, .w_next = vector, .iw = iw};
	// A piece is some images, or some rows of one, or some positions of a single row.
	const int64_t area = (int64_t)oh * ow;
	const int images = area >= POSITIONS ? 1 : POSITIONS / area, rows = oh == 1 || ow >= POSITIONS ? 1 : area <= POSITIONS ? oh : POSITIONS / ow;
	const int columns = mode == POINT && ow > POSITIONS ? POSITIONS : ow;
	for (int n = 0; n < s->n; n += images)
		for (int y = 0; y < oh; y += rows)
			for (int c = 0; c < ow; c += columns) {
				a.images = s->n - n < images ? s->n - n : images, a.ow = ow - c < columns ? ow - c : columns;
				a.add = add || n || y || c;
				for (int g = 0; g < s->groups; g++)
					for (int v = 0, D; v < vectors; v += D) {
						D = gradient_vectors(mode, vectors - v);
						a.whole = out / HALVES - v;
						for (int k = 0; k < taps; k++) {
							// The rows of outputs that read a row of inputs by this row of the kernel.
							int y0 = y, y1 = y + rows < oh ? y + rows : oh;
							if (mode != POINT && y0 * stride + k - 1 < 0) y0++;
							while (mode != POINT && y1 > y0 && (y1 - 1) * stride + k - 1 >= ih) y1--;
							a.rows = y1 - y0;
							for (int b = 0; b < in; b++)
								for (int i = 0; i < BLOCK; i += sums[mode][D].inputs) {
									a.x = x + n * a.x_image + (int64_t)(g * in + b) * in_map + i + (mode == POINT ? (int64_t)c : (int64_t)(y0 * stride + k - 1) * iw) * BLOCK;
									a.d = d + n * a.d_image + (int64_t)(g * out + v * HALVES) * out_map + ((int64_t)y0 * ow + c) * BLOCK;
									a.w = w + (g * vectors + v) * vector + k * row + (int64_t)(b * BLOCK + i) * taps * LANES;
									sums[mode][D].run(&a);
								}
						}
					}
			}
}

static ns_tile tile_choice(const ns_shape *s, int which) {
	tile_pass p = pass_of(s, which == NS_DATA);
	if (which == NS_WEIGHTS) {
		int d = gradient_vectors(p.mode, p.vectors);
		return (ns_tile){d, sums[p.mode][d].inputs, 1};
	}
	return choose(s, p.mode, p.vectors, p.ow, p.images);
}
#endif
