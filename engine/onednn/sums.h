// The gradients of weights by register tiles; docs/kernels.md explains them.
#ifndef SUMS_H
#define SUMS_H
#include "tile.h"

// The weight gradient: D vectors of the outputs' gradient times X steps over the inputs, for one row of the kernel;
// depthwise for R rows of it, since else sums would be too few.
typedef struct {
	const float *x, *d;
	float *w;
	int images, rows, ow, iw;
	int64_t x_image, d_image, x_row, d_row;
	int64_t d_next, w_next, x_block, x_apart, d_apart;
	int add;
	int y0, ih, k0, k1; // depthwise: the first output's row, rows of inputs, rows of the kernel
	int64_t x_step, w_step; // DENSE1: from one output to the next, from one step over the inputs to the next
	int taps, stride; // OWN_ANY
	const char *ahead; // what to fetch at each position, and how far to go on
	int fetch;
} tile_sums;

// To what is there, or in its place: a sum, or the one of two images.
INLINE void store_sum(const tile_sums *s, float *w, vf sum, int form) {
#if HALVES == 2
	if (!DENSE(form)) {
		__m256 both = _mm256_add_ps(_mm512_castps512_ps256((__m512)sum), _mm512_extractf32x8_ps((__m512)sum, 1));
		_mm256_storeu_ps(w, s->add ? _mm256_add_ps(_mm256_loadu_ps(w), both) : both);
		return;
	}
#endif
	store(w, s->add ? load(w) + sum : sum);
}

// The outputs' gradient at a position, for every lane.
INLINE vf gradient_at(const tile_sums *s, const float *d, int alone, int form) {
	if (DENSE(form)) return load_steps(d);
	return alone ? lower_half(load_apart(d, 0)) : load_apart(d, s->d_apart);
}

// DENSE1: rows follow each other, ow is the length of all.
INLINE void tile_gradient(const tile_sums *s, int D, int X, int form, int mode) {
	const int taps = TAPS(form);
	const char *ahead = s->ahead;
	vf acc[28];
#pragma GCC unroll 28
	for (int r = 0; r < D * X * taps; r++) acc[r] = splat(0);
#define STEP(i) (DENSE(form) ? x + (i) / STEPS_OF_BLOCK * s->x_block + (i) % STEPS_OF_BLOCK * HALVES : x)
#define SUM(tap, u, of) acc[(v * X + i) * taps + (tap)] += (u) * (of)
	for (int n = 0; n < s->images; n += DENSE(form) ? 1 : HALVES) {
		const int alone = !DENSE(form) && HALVES == 2 && n + 1 == s->images;
		const int64_t x_apart = alone ? 0 : s->x_apart;
		for (int y = 0; y < s->rows; y++) {
			const float *x = s->x + n * s->x_image + y * (mode == ROW2 ? 2 : 1) * s->x_row, *d = s->d + n * s->d_image + y * s->d_row;
			vf before[4], here[4], after[4];
			if (form != DENSE1)
#pragma GCC unroll 4
				for (int v = 0; v < D; v++) before[v] = splat(0), here[v] = gradient_at(s, d + v * s->d_next, alone, form);
#pragma GCC unroll 2
			for (int c = 0; c < s->ow; c++) {
				FETCH(s, ahead);
				if (form == DENSE1) {
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) here[v] = gradient_at(s, d + v * s->d_next, alone, form);
				} else if (c + 1 < s->ow) {
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) after[v] = gradient_at(s, d + v * s->d_next + BLOCK, alone, form);
				} else {
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) after[v] = splat(0);
				}
#pragma GCC unroll 16
				for (int i = 0; i < X; i++) {
					if (!DENSE(form)) RELOAD(x);
					vf u = input_of(STEP(i), x_apart, place_of(X, i), form);
					if (D * taps > 1) HOLD(u);
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) {
						if (form == DENSE1) SUM(0, u, here[v]);
						else if (mode == ROW1) SUM(0, u, after[v]), SUM(1, u, here[v]), SUM(2, u, before[v]);
						else SUM(1, u, here[v]);
					}
				}
				if (mode == ROW2 && 2 * c + 1 < s->iw)
#pragma GCC unroll 16
					for (int i = 0; i < X; i++) {
						if (!DENSE(form)) RELOAD(x);
						vf u = input_of(STEP(i) + BLOCK, x_apart, place_of(X, i), form);
						HOLD(u);
#pragma GCC unroll 4
						for (int v = 0; v < D; v++) SUM(0, u, after[v]), SUM(2, u, here[v]);
					}
				x += form == DENSE1 ? s->x_step : mode == ROW2 ? 2 * BLOCK : BLOCK, d += BLOCK;
				if (form != DENSE1)
#pragma GCC unroll 4
					for (int v = 0; v < D; v++) before[v] = here[v], here[v] = after[v];
			}
		}
	}
#undef SUM
#undef STEP
#pragma GCC unroll 4
	for (int v = 0; v < D; v++)
#pragma GCC unroll 28
		for (int r = 0; r < X * taps; r++) store_sum(s, s->w + v * s->w_next + r * (form == DENSE1 ? s->w_step : DENSE(form) ? LANES : BLOCK), acc[v * X * taps + r], form);
}

// Depthwise of any kernel and stride: a row of the kernel, four taps at a time.
INLINE void own_any_gradient(const tile_sums *s) {
	for (int j = 0; j < s->taps; j += 4) {
		vf acc[4] = {splat(0), splat(0), splat(0), splat(0)};
		for (int n = 0; n < s->images; n += HALVES) {
			const int alone = HALVES == 2 && n + 1 == s->images;
			const int64_t x_apart = alone ? 0 : s->x_apart;
			for (int y = 0; y < s->rows; y++) {
				const int row = (s->y0 + y) * s->stride - s->taps / 2 + s->k0;
				if (row < 0 || row >= s->ih) continue;
				const float *x = s->x + n * s->x_image + row * s->x_row, *d = s->d + n * s->d_image + y * s->d_row;
				for (int c = 0; c < s->ow; c++) {
					const int in = c * s->stride - s->taps / 2 + j;
					const vf g = gradient_at(s, d + c * BLOCK, alone, OWN_ANY);
#pragma GCC unroll 4
					for (int t = 0; t < 4; t++)
						if ((unsigned)(in + t) < (unsigned)s->iw) acc[t] += load_apart(x + (in + t) * BLOCK, x_apart) * g;
				}
			}
		}
#pragma GCC unroll 4
		for (int t = 0; t < 4; t++)
			if (j + t < s->taps) store_sum(s, s->w + (j + t) * BLOCK, acc[t], OWN_ANY);
	}
}

// Depthwise, in R rows of the kernel: every input meets the gradients about it, which move through registers.
INLINE void own_gradient(const tile_sums *s, int R, int form, int mode) {
	const int taps = TAPS(form), pad = taps / 2, stride = mode == ROW2 ? 2 : 1;
	const int first = stride == 1 ? -pad : -(pad / 2), last = stride == 1 ? pad : (pad + 1) / 2;
	const char *ahead = s->ahead;
	vf acc[25];
#pragma GCC unroll 25
	for (int r = 0; r < R * taps; r++) acc[r] = splat(0);
	for (int n = 0; n < s->images; n += HALVES) {
		const int alone = HALVES == 2 && n + 1 == s->images;
		const int64_t x_apart = alone ? 0 : s->x_apart;
#define GRADIENT(c) ((c) >= s->ow ? splat(0) : alone ? lower_half(load_apart(d + (c) * BLOCK, 0)) : load_apart(d + (c) * BLOCK, s->d_apart))
		for (int y = 0; y < s->rows; y++) {
			const float *d = s->d + n * s->d_image + y * s->d_row;
			// The rows of the kernel that read a row that is there.
			const int row = (s->y0 + y) * stride - pad;
			const int k0 = row + s->k0 < 0 ? -row : s->k0, k1 = s->ih - row < s->k1 ? s->ih - row : s->k1;
			const float *x = s->x + n * s->x_image + (row + s->k0) * s->x_row;
			vf near[7];
#pragma GCC unroll 7
			for (int r = first; r < last; r++) near[r - first] = r < 0 ? splat(0) : GRADIENT(r);
			for (int c = 0; c * stride < s->iw; c++, x += stride * BLOCK) {
				FETCH(s, ahead);
				near[last - first] = GRADIENT(c + last);
#pragma GCC unroll 5
				for (int k = 0; k < R; k++) {
					if (s->k0 + k < k0 || s->k0 + k >= k1) continue;
#pragma GCC unroll 2
					for (int p = 0; p < stride; p++) {
						if (p && c * stride + p >= s->iw) continue;
						vf u = load_apart(x + k * s->x_row + p * BLOCK, x_apart);
						HOLD(u);
#pragma GCC unroll 7
						for (int j = 0; j < taps; j++)
							if ((p + pad - j) % stride == 0) acc[k * taps + j] += u * near[(p + pad - j) / stride - first];
					}
				}
#pragma GCC unroll 7
				for (int r = first; r < last; r++) near[r - first] = near[r - first + 1];
			}
		}
	}
#undef GRADIENT
#pragma GCC unroll 5
	for (int k = 0; k < R; k++)
		if (s->k0 + k < s->k1)
#pragma GCC unroll 7
			for (int j = 0; j < taps; j++) store_sum(s, s->w + (k * taps + j) * BLOCK, acc[k * taps + j], form);
}

// The weight gradients that there are, by D and the number of four steps X; narrow ones by the inputs of a group.
#define NARROW_SUMS(F, S) F(NARROW3, S, 2, 0, 1, 2, 1) F(NARROW3, S, 4, 1, 1, 4, 1)
#define OWN_SUMS(F, S, ROWS3, ROWS5, ROWS7) F(OWN3, S, 1, 0, 1, 1, ROWS3) F(OWN5, S, 1, 0, 1, 1, ROWS5) F(OWN7, S, 1, 0, 1, 1, ROWS7)
#define DENSE_SUMS(F, K, S, D, FOURS) F(K, S, D, FOURS, D, 4 * FOURS, 1)
#if LANES == 8
#define POINT_SUMS(F) DENSE_SUMS(F, DENSE1, ROW1, 1, 2) DENSE_SUMS(F, DENSE1, ROW1, 2, 1) DENSE_SUMS(F, DENSE1, ROW1, 3, 1)
#define ROW_SUMS(F, S) NARROW_SUMS(F, S) OWN_SUMS(F, S, 3, 2, 1) DENSE_SUMS(F, DENSE3, S, 1, 1)
#elif BLOCK == 8
#define POINT_SUMS(F) DENSE_SUMS(F, DENSE1, ROW1, 1, 1) DENSE_SUMS(F, DENSE1, ROW1, 1, 2) DENSE_SUMS(F, DENSE1, ROW1, 1, 3) DENSE_SUMS(F, DENSE1, ROW1, 1, 4) \
	DENSE_SUMS(F, DENSE1, ROW1, 2, 1) DENSE_SUMS(F, DENSE1, ROW1, 2, 2) DENSE_SUMS(F, DENSE1, ROW1, 2, 3) \
	DENSE_SUMS(F, DENSE1, ROW1, 3, 1) DENSE_SUMS(F, DENSE1, ROW1, 3, 2) DENSE_SUMS(F, DENSE1, ROW1, 4, 1)
#define ROW_SUMS(F, S) NARROW_SUMS(F, S) OWN_SUMS(F, S, 3, 5, 3) DENSE_SUMS(F, DENSE3, S, 1, 1) DENSE_SUMS(F, DENSE3, S, 1, 2) DENSE_SUMS(F, DENSE3, S, 2, 1)
#else
#define POINT_SUMS(F) DENSE_SUMS(F, DENSE1, ROW1, 1, 2) DENSE_SUMS(F, DENSE1, ROW1, 2, 2) DENSE_SUMS(F, DENSE1, ROW1, 3, 2) DENSE_SUMS(F, DENSE1, ROW1, 4, 1)
#define ROW_SUMS(F, S) NARROW_SUMS(F, S) OWN_SUMS(F, S, 3, 5, 3) DENSE_SUMS(F, DENSE3, S, 1, 2) DENSE_SUMS(F, DENSE3, S, 2, 1)
#endif
// DENSE_ANY has those of DENSE1.
#define ALL_SUMS(F) POINT_SUMS(F) ROW_SUMS(F, ROW1) ROW_SUMS(F, ROW2) F(OWN_ANY, ROW1, 1, 0, 1, 1, 1)
#define FUNCTION(K, S, AT, FOURS, D, X, R) static __attribute__((noinline)) void sums_##K##_##S##_##AT##_##FOURS(const tile_sums *s) { \
	if (K == OWN_ANY) own_any_gradient(s); \
	else if (OWN(K)) own_gradient(s, R, K, S); \
	else tile_gradient(s, D, X, K, S); \
}
ALL_SUMS(FUNCTION)
#undef FUNCTION
typedef struct {
	void (*run)(const tile_sums *s);
	int vectors, inputs, rows;
} gradient;
enum { MOST_FOURS = 4 };
static const gradient sums[FORMS][2][5][MOST_FOURS + 1] = {
#define ENTRY(K, S, AT, FOURS, D, X, R) [K][S][AT][FOURS] = {sums_##K##_##S##_##AT##_##FOURS, D, X, R},
	ALL_SUMS(ENTRY)
#undef ENTRY
};

// So many positions at a time: the gradient's vectors stay in the first-level cache while all input channels pass.
#define POSITIONS 192

// Cycles of a position: what is slowest of two multiply-adds a cycle, among which vectors are made of an output's two lanes, somewhat more than one load, and the wait of a sum for itself.
static double sums_cost(const gradient *t, int taps) {
	const double n = (t->vectors * t->inputs * taps + (HALVES - 1) * t->vectors) / 2., loads = 0.9 * (t->vectors + t->inputs);
	return n > loads ? (n > 4 ? n : 4) : loads > 4 ? loads : 4;
}

// What of d vectors of the gradient to take next, with so many steps over the inputs left; what all steps cost.
static const gradient *steps_of(const tile_pass *p, int d, int left, double *cost) {
	const gradient *of = sums[p->form][p->mode][d], *best = NULL;
	const int steps = p->blocks * p->inputs;
	double least = 0;
	for (const gradient *t = of + 1; t <= of + MOST_FOURS; t++) {
		if (!t->run || t->inputs > left) continue;
		double c = (double)steps / t->inputs * sums_cost(t, p->taps);
		if (!best || c <= least) best = t, least = c;
	}
	if (cost) *cost = least;
	return best;
}

// So many vectors of the gradient at a time cost least; fewer at the end.
static int vectors_of(const tile_pass *p) {
	int best = 1;
	double least = 0, of[MOST_W + 1] = {0};
	for (int d = 1; d <= MOST_W && d <= p->vectors; d++) {
		if (!steps_of(p, d, p->blocks * p->inputs, &of[d])) continue;
		double cost = p->vectors / d * of[d] + of[p->vectors % d];
		if (d == 1 || cost <= least) best = d, least = cost;
	}
	return best;
}

static const gradient *gradient_of(const tile_pass *p, ns_tile chosen, int d, int left) {
	if (!DENSE(p->form)) return &sums[p->form][p->mode][p->inputs][p->inputs / 4];
	if (d == chosen.vectors && left * HALVES >= chosen.positions) return &sums[p->form][p->mode][d][chosen.positions / HALVES / 4];
	return steps_of(p, d, left, NULL);
}

// The pass whose kernels sum the gradients of a pass's weights: of any kernel those of a single tap.
static tile_pass sums_of(tile_pass p) {
	if (p.form == DENSE_ANY) p.form = DENSE1, p.taps = 1;
	return p;
}

// Of so many the least parts of nearly the same size with at most so many each.
static int even_part(int all, int most) { return (all + (all + most - 1) / most - 1) / ((all + most - 1) / most); }

static void tile_weights(const ns_shape *s, ns_tile chosen, const float *x, const float *dy, float *w, int add, ns_ahead *ahead) {
	const tile_pass p = pass_of(s, 0), q = sums_of(p);
	const int pad = p.taps / 2, stride = p.stride, in = p.blocks, out = p.vectors;
	const int most = chosen.vectors, steps = in * p.inputs;
	const int64_t input = (int64_t)p.taps * p.lanes, row = in * p.inputs * input, vector = row * p.taps;
	const int64_t in_image = p.groups * in * p.in_map, out_image = p.groups * out * p.out_map;
	tile_sums a = {.x_image = in_image, .d_image = out_image, .x_row = (int64_t)p.iw * BLOCK, .d_row = (int64_t)p.ow * BLOCK,
		.d_next = p.out_map, .x_block = p.in_map, .x_apart = in_image, .d_apart = out_image, .w_next = vector, .iw = p.iw, .ih = p.ih,
		.x_step = stride * BLOCK, .w_step = input, .taps = p.taps, .stride = stride};
	if (p.form == DENSE_ANY) a.x_row *= stride;
	// A piece is some images, or some rows of one (or two), or some positions of a single row.
	const int area = p.oh * p.ow, at_most = p.oh == 1 || p.ow >= POSITIONS ? 1 : area <= POSITIONS ? p.oh : POSITIONS / p.ow;
	const int rows = even_part(p.oh, at_most);
	const int images = area >= POSITIONS ? p.together : (POSITIONS / area + p.together - 1) / p.together * p.together;
	const int columns = even_part(p.ow, p.form == DENSE1 && p.ow > POSITIONS ? POSITIONS : p.ow);
	for (int n = 0; n < s->n; n += images)
		for (int y = 0; y < p.oh; y += rows)
			for (int c = 0; c < p.ow; c += columns) {
				const int across = p.ow - c < columns ? p.ow - c : columns;
				a.images = s->n - n < images ? s->n - n : images;
				a.add = add || n || y || c;
				for (int g = 0; g < p.groups; g++) {
					for (int v = 0, d; v < p.vectors; v += d) {
						d = p.vectors - v < most ? p.vectors - v : most;
						const int at_once = gradient_of(&q, chosen, d, steps)->rows;
						for (int k = 0; k < p.taps; k += at_once) {
							// The rows of outputs that read a row of inputs by this row of the kernel.
							int y0 = y, y1 = y + rows < p.oh ? y + rows : p.oh;
							while (!OWN(p.form) && y0 < y1 && y0 * stride + k < pad) y0++;
							while (!OWN(p.form) && y1 > y0 && (y1 - 1) * stride + k - pad >= p.ih) y1--;
							a.rows = y1 - y0, a.y0 = y0, a.k0 = k, a.k1 = k + at_once < p.taps ? k + at_once : p.taps;
							for (int j = 0; j < (p.form == DENSE_ANY ? p.taps : 1); j++) {
								// And the outputs that read an input by this tap.
								int x0 = 0, x1 = across;
								while (p.form == DENSE_ANY && x0 < x1 && x0 * stride + j < pad) x0++;
								while (p.form == DENSE_ANY && x1 > x0 && (x1 - 1) * stride + j - pad >= p.iw) x1--;
								a.d = dy + n * out_image + (int64_t)(g * out + v) * p.out_map + y0 * a.d_row + (c + x0) * BLOCK;
								a.ow = x1 - x0;
								const gradient *t;
								for (int i = 0; i < steps; i += t->inputs) {
									t = gradient_of(&q, chosen, d, steps - i);
									a.x = x + n * in_image + (int64_t)(g * in + i / p.inputs) * p.in_map;
									if (DENSE(p.form)) a.x += i % p.inputs * HALVES;
									if (!OWN(p.form)) a.x += (int64_t)(y0 * stride + k - pad) * p.iw * BLOCK + c * BLOCK;
									if (p.form == DENSE_ANY) a.x += (x0 * stride + j - pad) * BLOCK;
									a.w = w + (g * p.vectors + v) * vector + k * row + i * input + j * p.lanes;
									a.ahead = ns_fetch(ahead, (int64_t)(a.images + p.together - 1) / p.together * a.rows * a.ow, LINE / 2, a.d, &a.fetch);
									t->run(&a);
								}
							}
						}
					}
				}
			}
}

static ns_tile tile_choice(const ns_shape *s, int which) {
	const tile_pass p = pass_of(s, which == NS_DATA);
	if (which != NS_WEIGHTS) return choose(s, &p);
	if (!DENSE(p.form)) return (ns_tile){1, p.inputs, 1};
	const tile_pass q = sums_of(p);
	const int d = vectors_of(&q);
	return (ns_tile){d, steps_of(&q, d, q.blocks * q.inputs, NULL)->inputs * HALVES, 1};
}
#endif
