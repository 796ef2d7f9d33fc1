// First convolutions, which read images as they come: planes of floats. All lanes of a vector are outputs, of one block
// or of two. What some rows of an image's outputs read is copied with zeros around it, so that no edge is a special
// case; docs/kernels.md explains the rest.
#ifndef PLANES_H
#define PLANES_H
#include "tile.h"

// Taps of a row of the kernel, and in the weights' gradient rows of the kernel, at a time.
#define TAPS_AT_ONCE 3

// The compiler would carry inputs over to the taps that read them next, on the stack.
#define APART(x) __asm__("" : "+r"(x))

// What a tile works on. Distances in floats.
typedef struct {
	const float *x, *w;
	float *y;
	int rows, taps, stride; // of the kernel: its rows of all inputs
	int64_t x_row;
	int64_t w_next, y_next, y_apart; // from one vector of outputs to the next, and between the two blocks of one
	int positions; // to do
	int alone;     // the last vector has one block
	int add, act;
	const float *bias; // or NULL
	const char *ahead; // what to fetch at each row of the kernel, and how far to go on
	int fetch;
} planes_part;

INLINE vf load_outputs(const float *p, int64_t apart, int alone) { return alone ? lower_half(load_both(p)) : load_apart(p, apart); }

INLINE void store_outputs(float *p, int64_t apart, int alone, vf v) {
	if (alone) store_half(p, v);
	else store_apart(p, apart, v);
}

// So many taps along a row: an input meets all that read it. stride 0: of any, each position has inputs of its own.
INLINE void planes_taps(const planes_part *s, vf *acc, const float *x, const float *w, int W, int M, int taps, int stride) {
	vf t[2 * TAPS_AT_ONCE];
	APART(x);
#pragma GCC unroll 2
	for (int v = 0; v < W; v++)
#pragma GCC unroll 3
		for (int j = 0; j < taps; j++) {
			t[v * taps + j] = load(w + v * s->w_next + j * LANES);
			HOLD(t[v * taps + j]);
		}
	if (stride == 0) {
#pragma GCC unroll 14
		for (int r = 0; r < M; r++, x += s->stride)
#pragma GCC unroll 3
			for (int j = 0; j < taps; j++) {
				vf u = splat(x[j]);
				if (W > 1) HOLD(u);
#pragma GCC unroll 2
				for (int v = 0; v < W; v++) acc[v * M + r] += u * t[v * taps + j];
			}
		return;
	}
#pragma GCC unroll 30
	for (int p = 0; p <= (M - 1) * stride + taps - 1; p++) {
		if (p % stride >= taps) continue;
		vf u = splat(x[p]);
		if (W > 1 || p % stride + stride < taps) HOLD(u);
#pragma GCC unroll 3
		for (int j = p % stride; j < taps; j += stride) {
			const int r = (p - j) / stride;
#pragma GCC unroll 2
			for (int v = 0; v < W; v++)
				if (j <= p && r < M) acc[v * M + r] += u * t[v * taps + j];
		}
	}
}

// A part of a row by tiles, the last of which need not be full. Each output is the sum over rows of the kernel, inputs and taps, in this order.
INLINE void planes_tile(const planes_part *s, int W, int M, int stride) {
	const int last = HALVES == 2 && s->alone ? W - 1 : W; // the vector that has one block
	const float *from = s->x;
	float *to = s->y;
	const char *ahead = s->ahead;
	for (int left = s->positions; left > 0; left -= M, from += M * s->stride, to += M * BLOCK) {
		vf acc[24];
		// The outputs lie in memory that has not been touched for long: fetch it meanwhile.
#pragma GCC unroll 2
		for (int v = 0; v < W; v++)
#pragma GCC unroll 14
			for (int r = 0; r < M; r++) {
				float *y = to + v * s->y_next + r * BLOCK;
				if (r % (16 / BLOCK) == 0) {
					__builtin_prefetch(y, 1);
					if (HALVES == 2) __builtin_prefetch(y + s->y_apart, 1);
				}
				acc[v * M + r] = splat(0);
			}
		if (s->add)
#pragma GCC unroll 2
			for (int v = 0; v < W; v++)
#pragma GCC unroll 14
				for (int r = 0; r < M; r++)
					if (r < left) acc[v * M + r] = load_outputs(to + v * s->y_next + r * BLOCK, s->y_apart, v == last);
		if (s->bias)
#pragma GCC unroll 2
			for (int v = 0; v < W; v++) {
				vf bias = load_outputs(s->bias + v * LANES, BLOCK, v == last);
#pragma GCC unroll 14
				for (int r = 0; r < M; r++) acc[v * M + r] += bias;
			}
		const float *w = s->w, *x = from;
		for (int k = 0; k < s->rows; k++, x += s->x_row) {
			int j = 0;
			FETCH(s, ahead);
			for (; j + TAPS_AT_ONCE <= s->taps; j += TAPS_AT_ONCE, w += TAPS_AT_ONCE * LANES) planes_taps(s, acc, x + j, w, W, M, TAPS_AT_ONCE, stride);
			for (; j < s->taps; j++, w += LANES) planes_taps(s, acc, x + j, w, W, M, 1, stride);
		}
		if (s->act == NS_RELU)
#pragma GCC unroll 24
			for (int r = 0; r < W * M; r++) acc[r] = maximum(acc[r], splat(0));
#pragma GCC unroll 2
		for (int v = 0; v < W; v++)
#pragma GCC unroll 14
			for (int r = 0; r < M; r++)
				if (r < left) store_outputs(to + v * s->y_next + r * BLOCK, s->y_apart, v == last, acc[v * M + r]);
	}
}

// The tiles that there are.
#if LANES == 16
#define PLANES(F) F(1, 4, 1) F(1, 8, 1) F(1, 12, 1) F(1, 14, 1) F(1, 4, 2) F(1, 8, 2) F(1, 12, 2) F(1, 14, 2) F(1, 8, 0) \
	F(2, 4, 1) F(2, 8, 1) F(2, 12, 1) F(2, 4, 2) F(2, 8, 2) F(2, 12, 2) F(2, 8, 0)
#else
#define PLANES(F) F(1, 4, 1) F(1, 8, 1) F(1, 12, 1) F(1, 4, 2) F(1, 8, 2) F(1, 12, 2) F(1, 8, 0)
#endif
#define FUNCTION(W, M, S) static __attribute__((noinline)) void planes_##W##_##M##_##S(const planes_part *s) { planes_tile(s, W, M, S); }
PLANES(FUNCTION)
#undef FUNCTION
#define ENTRY(W, M, S) [W][S][M] = planes_##W##_##M##_##S,
enum { PLANES_W = 2 };
static void (*const planes_tiles[PLANES_W + 1][3][NS_PLANES_M + 1])(const planes_part *s) = {PLANES(ENTRY)};
#undef ENTRY

// What a shape's row of taps is to tables: strides of 1 and 2 let inputs meet several taps.
static int planes_stride(const ns_shape *s) { return s->stride <= 2 ? s->stride : 0; }

static int planes_most(int w, int stride) {
	int m = NS_PLANES_M;
	while (m > 0 && !planes_tiles[w][stride][m]) m--;
	return m;
}

// An activation that takes more than registers: of what a tile has written, from the first-level cache.
static __attribute__((noinline)) void planes_activate(const planes_part *s, int W) {
	for (int v = 0; v < W; v++)
		for (int r = 0; r < s->positions; r++) {
			float *y = s->y + v * s->y_next + r * BLOCK;
			const int alone = HALVES == 2 && s->alone && v == W - 1;
			store_outputs(y, s->y_apart, alone, act_of(load_outputs(y, s->y_apart, alone), s->act));
		}
}

// Copies what the rows of outputs from y on read of an image: [rows][inputs][width]. Columns around it are zero, and stay so.
static void planes_copy(const ns_shape *s, ns_band b, int y, const float *x, float *to) {
	const int pad = (s->kernel - 1) / 2, row = y * s->stride - pad;
	for (int r = row; r < row + b.rows; r++)
		for (int i = 0; i < s->ic; i++, to += b.width) {
			const float *from = x + ((int64_t)i * s->ih + r) * s->iw;
			float *at = to + pad;
			if (r < 0 || r >= s->ih) {
				memset(at, 0, s->iw * sizeof *at);
				continue;
			}
			int c = 0;
			for (; c + LANES <= s->iw; c += LANES) store(at + c, load(from + c));
			if (c < s->iw && s->iw >= LANES) store(at + s->iw - LANES, load(from + s->iw - LANES));
			else
				for (; c < s->iw; c++) at[c] = from[c];
		}
}

static void planes_product(const ns_shape *s, ns_tile t, const float *x, const float *w, const float *bias, float *y, float *scratch, ns_ahead *ahead) {
	const ns_band b = ns_plane_band(s);
	const int64_t map = (int64_t)s->oh * s->ow * BLOCK, vector = (int64_t)s->kernel * s->ic * s->kernel * LANES;
	const int stride = planes_stride(s), blocks = s->oc / BLOCK, vectors = (blocks + HALVES - 1) / HALVES;
	planes_part a = {.rows = s->kernel * s->ic, .taps = s->kernel, .stride = s->stride, .x_row = b.width, .w_next = vector, .y_next = HALVES * map, .y_apart = map, .add = s->sum, .act = s->act};
	memset(scratch, 0, ns_tile_scratch(s));
	for (int n = 0; n < s->n; n++)
		for (int y0 = 0; y0 < s->oh; y0 += b.outputs) {
			planes_copy(s, b, y0, x + (int64_t)n * s->ic * s->ih * s->iw, scratch);
			for (int v = 0, m; v < vectors; v += m) {
				m = vectors - v < t.vectors ? vectors - v : t.vectors;
				a.alone = (v + m) * HALVES > blocks;
				a.w = w + v * vector, a.bias = bias ? bias + v * LANES : NULL;
				// Tiles of nearly the same size, and a smaller one for what is left.
				void (*const *tiles)(const planes_part *s) = planes_tiles[m][stride];
				const int most = planes_most(m, stride), parts = (s->ow + most - 1) / most;
				int part = (s->ow + parts - 1) / parts;
				while (!tiles[part]) part++;
				int rest = s->ow % part;
				while (rest && !tiles[rest]) rest++;
				const int cut[2] = {s->ow - s->ow % part, s->ow}, size[2] = {part, rest};
				for (int oy = y0; oy < s->oh && oy < y0 + b.outputs; oy++)
					for (int i = 0, ox = 0; i < 2 && ox < s->ow; ox = cut[i++]) {
						a.positions = cut[i] - ox;
						a.x = scratch + (int64_t)(oy - y0) * s->stride * s->ic * b.width + ox * s->stride;
						a.y = y + ((int64_t)n * blocks + v * HALVES) * map + ((int64_t)oy * s->ow + ox) * BLOCK;
						if (a.positions == 0) continue;
						a.ahead = ns_fetch(ahead, (int64_t)(a.positions + size[i] - 1) / size[i] * a.rows, LINE, scratch, &a.fetch);
						tiles[size[i]](&a);
						if (s->act > NS_RELU) planes_activate(&a, m);
					}
			}
		}
}

// The gradients of so many taps in so many rows of the kernel.
typedef struct {
	const float *x[TAPS_AT_ONCE], *d; // where the rows begin
	float *w[TAPS_AT_ONCE];
	int rows, ow, stride;
	int64_t x_row, d_row, d_next, d_apart, w_next;
	int from, to, rows_there; // the taps and rows to write
	int alone, add;
	const char *ahead; // what to fetch at some positions, and how far to go on
	int fetch;
} planes_sums;

// M positions, each of whose inputs meets all taps that read it.
INLINE void planes_positions(const planes_sums *s, vf *acc, int64_t x, const float *d, int alone, int D, int M, int stride) {
	vf g[8];
	APART(x);
#pragma GCC unroll 2
	for (int v = 0; v < D; v++)
#pragma GCC unroll 4
		for (int r = 0; r < M; r++) {
			g[v * M + r] = load_outputs(d + v * s->d_next + r * BLOCK, s->d_apart, alone && v == D - 1);
			HOLD(g[v * M + r]);
		}
#pragma GCC unroll 3
	for (int k = 0; k < TAPS_AT_ONCE; k++)
#pragma GCC unroll 12
		for (int p = 0; p <= (M - 1) * stride + TAPS_AT_ONCE - 1; p++) {
			if (p % stride >= TAPS_AT_ONCE) continue;
			vf u = splat(s->x[k][x + p]);
			HOLD(u);
#pragma GCC unroll 3
			for (int j = p % stride; j < TAPS_AT_ONCE; j += stride) {
				const int r = (p - j) / stride;
#pragma GCC unroll 2
				for (int v = 0; v < D; v++)
					if (j <= p && r < M) acc[(v * TAPS_AT_ONCE + k) * TAPS_AT_ONCE + j] += u * g[v * M + r];
			}
		}
}

INLINE void planes_gradient(const planes_sums *s, int D, int stride) {
	const int alone = HALVES == 2 && s->alone;
	const char *ahead = s->ahead;
	vf acc[2 * TAPS_AT_ONCE * TAPS_AT_ONCE];
#pragma GCC unroll 18
	for (int r = 0; r < D * TAPS_AT_ONCE * TAPS_AT_ONCE; r++) acc[r] = splat(0);
	for (int y = 0; y < s->rows; y++) {
		const float *d = s->d + y * s->d_row;
		int64_t x = y * s->x_row;
		int c = 0;
		for (; stride && c + 4 <= s->ow; c += 4, x += 4 * stride, d += 4 * BLOCK) {
			FETCH(s, ahead);
			planes_positions(s, acc, x, d, alone, D, 4, stride);
		}
		for (; c < s->ow; c++, x += s->stride, d += BLOCK) planes_positions(s, acc, x, d, alone, D, 1, 1);
	}
#pragma GCC unroll 2
	for (int v = 0; v < D; v++)
#pragma GCC unroll 3
		for (int k = 0; k < TAPS_AT_ONCE; k++)
#pragma GCC unroll 3
			for (int j = 0; j < TAPS_AT_ONCE; j++)
				if (k < s->rows_there && j >= s->from && j < s->to) {
					float *w = s->w[k] + v * s->w_next + j * LANES;
					vf sum = acc[(v * TAPS_AT_ONCE + k) * TAPS_AT_ONCE + j];
					store(w, s->add ? load(w) + sum : sum);
				}
}

#if LANES == 16
#define PLANES_SUMS(F) F(1, 1) F(1, 2) F(1, 0) F(2, 1) F(2, 2) F(2, 0)
#else
#define PLANES_SUMS(F) F(1, 1) F(1, 2) F(1, 0)
#endif
#define FUNCTION(D, S) static __attribute__((noinline)) void planes_sums_##D##_##S(const planes_sums *s) { planes_gradient(s, D, S); }
PLANES_SUMS(FUNCTION)
#undef FUNCTION
#define ENTRY(D, S) [D][S] = planes_sums_##D##_##S,
static void (*const planes_gradients[PLANES_W + 1][3])(const planes_sums *s) = {PLANES_SUMS(ENTRY)};
#undef ENTRY

static void planes_weights(const ns_shape *s, ns_tile t, const float *x, const float *dy, float *w, int add, float *scratch, ns_ahead *ahead) {
	const ns_band b = ns_plane_band(s);
	const int64_t map = (int64_t)s->oh * s->ow * BLOCK, vector = (int64_t)s->kernel * s->ic * s->kernel * LANES;
	const int stride = planes_stride(s), blocks = s->oc / BLOCK, vectors = (blocks + HALVES - 1) / HALVES, rows = s->kernel * s->ic;
	planes_sums a = {.ow = s->ow, .stride = s->stride, .x_row = (int64_t)s->stride * s->ic * b.width, .d_row = (int64_t)s->ow * BLOCK,
		.d_next = HALVES * map, .d_apart = map, .w_next = vector};
	memset(scratch, 0, ns_tile_scratch(s));
	for (int n = 0; n < s->n; n++)
		for (int y0 = 0; y0 < s->oh; y0 += b.outputs) {
			planes_copy(s, b, y0, x + (int64_t)n * s->ic * s->ih * s->iw, scratch);
			a.rows = s->oh - y0 < b.outputs ? s->oh - y0 : b.outputs;
			a.add = add || n || y0;
			for (int v = 0, m; v < vectors; v += m) {
				m = vectors - v < t.vectors ? vectors - v : t.vectors;
				a.alone = (v + m) * HALVES > blocks;
				a.d = dy + ((int64_t)n * blocks + v * HALVES) * map + y0 * a.d_row;
				for (int k = 0; k < rows; k += TAPS_AT_ONCE) {
					a.rows_there = rows - k < TAPS_AT_ONCE ? rows - k : TAPS_AT_ONCE;
					for (int j = 0; j < s->kernel; j += TAPS_AT_ONCE) {
						// The last taps with some before them again, which are not written; those of a kernel that is smaller, with what is behind its row.
						const int first = j + TAPS_AT_ONCE > s->kernel && j > 0 ? s->kernel - TAPS_AT_ONCE : j;
						a.from = j - first, a.to = s->kernel - first;
						for (int r = 0; r < TAPS_AT_ONCE; r++) {
							const int row = r < a.rows_there ? k + r : k;
							a.x[r] = scratch + (int64_t)row * b.width + first;
							a.w[r] = w + v * vector + ((int64_t)row * s->kernel + first) * LANES;
						}
						a.ahead = ns_fetch(ahead, stride ? (int64_t)a.rows * (s->ow / 4) : 0, LINE, scratch, &a.fetch);
						planes_gradients[m][stride](&a);
					}
				}
			}
		}
}

static ns_tile planes_choice(const ns_shape *s, int which) {
	const int vectors = (s->oc / BLOCK + HALVES - 1) / HALVES, most = planes_tiles[PLANES_W][1][4] ? PLANES_W : 1;
	int w = s->vectors && s->vectors <= most ? s->vectors : most;
	if (w > vectors) w = vectors;
	return (ns_tile){w, which == NS_WEIGHTS ? TAPS_AT_ONCE * TAPS_AT_ONCE : planes_most(w, planes_stride(s)), 1};
}
#endif
