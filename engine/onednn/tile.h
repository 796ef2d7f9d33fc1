// Convolutions by register tiles; docs/kernels.md explains tiles, packing and layouts.
//
// A tile is W vectors of output channels at M positions of a row, in each of Q images. For every
// input channel it loads the weights of W vectors and, position by position, one input
// that serves W vectors and all taps of a row of the kernel: each weight serves M×Q sums.
// Every sum is taken in the same order whatever the tile: parts of the input channels, rows
// of the kernel, input channels, taps. So the tile decides about speed alone.
#ifndef TILE_H
#define TILE_H
#pragma GCC optimize("O2") // what counts is unrolled by hand
#include "ops.h"
#include "vec.h"
#include <string.h>

// A vector holds a block, or two. Then each output has two lanes, side by side: one sums over the inputs of even numbers, one
// over the odd ones, and in the end they are added. A step over the inputs is as many as an output has lanes. Where lanes have inputs of their
// own, the vector is the same block of two images.
#define HALVES (LANES / BLOCK)
#define STEPS_OF_BLOCK (BLOCK / HALVES)

// How inputs meet outputs along a row, at kernel 3: at stride 1, output r reads inputs r-1 to r+1; at
// stride 2; and the reverse of that, which is backward data (of stride 1 it is a
// convolution again, with the taps turned around).
enum { ROW1, ROW2, ROW2_BACK };

// The inputs of a vector's lanes, by a row of so many taps. DENSE: all have the same step. NARROW: each
// has those of its group, of which a block has several. OWN: each has its own, depthwise. ANY: of any kernel and stride, one
// tap at a time.
enum { DENSE1, DENSE3, DENSE_ANY, NARROW3, OWN3, OWN5, OWN7, OWN_ANY, FORMS };
#define TAPS(form) ((form) == DENSE1 ? 1 : (form) == OWN5 ? 5 : (form) == OWN7 ? 7 : 3) // but ANY
#define DENSE(form) ((form) <= DENSE_ANY)
#define ANY(form) ((form) == DENSE_ANY || (form) == OWN_ANY)
#define OWN(form) ((form) >= OWN3)
#define STEPPED(form) (HALVES == 2 && DENSE(form)) // an output has two lanes

// Keeps a value that more than one multiply-add uses in a register: the compiler would load it for each again.
#if !defined(__x86_64__)
#define HOLD(v) ((void)0)
#elif LANES == 16
#define HOLD(v) __asm__("" : "+v"(v))
#else
#define HOLD(v) __asm__("" : "+x"(v))
#endif

// Inputs that several places share, where registers are few: the compiler would keep them all, on the stack.
#if LANES == 8
#define RELOAD(x) __asm__("" : "+r"(x))
#else
#define RELOAD(x) ((void)0)
#endif

// What a tile works on. Distances in floats.
typedef struct {
	const float *x;          // the input of the first output in the first row that it may read
	const float *w;
	float *y;
	int64_t x_row, w_row;    // from one row of the kernel to the next
	int k0, k1;              // the rows that are there
	int blocks;              // of input channels
	int64_t x_block;
	int64_t w_next, y_next;  // from one vector of outputs to the next
	int64_t x_apart, y_apart; // between the two images of a vector
	int64_t x_image, y_image;
	int left, right;         // so many inputs exist before and behind the tile's
	int add;                 // to what is in y
	const float *bias;       // of the outputs, to add; or NULL
	int act;                 // what to apply to the sums
	int more;                // any of these three is there
	int width;               // NARROW: of a group, and the places of its inputs
	const vi *places;
	int64_t x_step, y_step;  // from one output to the next
	// ANY: so many taps, and from one to the next; the input of the first tap of the first output, how many there are in the row, and
	// from one output to the next. Taps that any output has are first to last, those that all have inner to outer.
	int taps, at, iw, apart, first, last, inner, outer;
	int64_t w_tap;
	const char *ahead; // what to fetch at each step over the inputs, and how far to go on
	int fetch;
} tile_part;

// Fetches the next of what comes after this convolution. Between multiply-adds it costs nothing; many of them in a row would hold
// up the loads of the next tile.
#define FETCH(s, ahead) (__builtin_prefetch(ahead, 0, 2), (ahead) += (s)->fetch)
enum { LINE = 64 };

// For every lane the one that has input i of its group.
INLINE vi place_of(int width, int i) {
	vi at;
#pragma GCC unroll 16
	for (int l = 0; l < LANES; l++) at[l] = l / width * width + i;
	return at;
}

// An input for every lane; those of two images lie apart.
INLINE vf input_of(const float *x, int64_t apart, vi place, int form) {
	if (DENSE(form)) return splat_step(x);
	return OWN(form) ? load_apart(x, apart) : __builtin_shuffle(load_apart(x, apart), place);
}

// One input channel, or one at every lane's place, along a row.
INLINE void tile_input(const tile_part *s, vf *acc, const float *x, const float *w, vi place, int W, int Q, int M, int form, int mode) {
	const int taps = TAPS(form), pad = taps / 2;
	// The inputs that the first and the last output read; sure is the last one that exists for certain.
	const int first = mode == ROW2_BACK ? -(pad / 2) : -pad, sure = mode == ROW1 ? M - 1 : mode == ROW2 ? 2 * M - 2 : (M - 1) / 2;
	const int last = mode == ROW2_BACK ? (M - 1 + pad) / 2 : sure + pad;
	vf t[12];
#pragma GCC unroll 4
	for (int v = 0; v < W; v++)
#pragma GCC unroll 7
		for (int j = 0; j < taps; j++) {
			t[v * taps + j] = DENSE(form) ? load(w + v * s->w_next + j * LANES) : load_both(w + v * s->w_next + j * BLOCK);
			HOLD(t[v * taps + j]);
		}
#pragma GCC unroll 30
	for (int p = first; p <= last; p++) {
		if ((p < 0 && -p > s->left) || (p > sure && p - sure > s->right)) continue;
#pragma GCC unroll 4
		for (int q = 0; q < Q; q++) {
			vf u = input_of(x + q * s->x_image + p * BLOCK, s->x_apart, place, form);
			if (W * taps > 1) HOLD(u);
#pragma GCC unroll 4
			for (int v = 0; v < W; v++)
#pragma GCC unroll 7
				for (int j = 0; j < taps; j++) {
					const int r = mode == ROW2_BACK ? 2 * p + j - pad : p + pad - j;
					if (mode == ROW2 && r % 2) continue;
					const int to = mode == ROW2 ? r / 2 : r;
					if (to >= 0 && to < M) acc[(v * Q + q) * M + to] += u * t[v * taps + j];
				}
		}
	}
}

// All sums of a tile by one tap at a time.
INLINE void any_input(const tile_part *s, vf *acc, const float *x, const float *w, int W, int M, int form) {
	for (int u = s->first; u < s->last; u++) {
		vf t[4];
#pragma GCC unroll 4
		for (int v = 0; v < W; v++) t[v] = DENSE(form) ? load(w + v * s->w_next + u * s->w_tap) : load_both(w + v * s->w_next + u * s->w_tap);
		const float *in = x + u * BLOCK;
#define TAP(r) { \
		vf input = input_of(in, s->x_apart, (vi){}, form); \
		if (W > 1) HOLD(input); \
		_Pragma("GCC unroll 4") for (int v = 0; v < W; v++) acc[v * M + r] += input * t[v]; \
	}
		if (u >= s->inner && u < s->outer)
#pragma GCC unroll 6
			for (int r = 0; r < M; r++, in += s->x_step) TAP(r)
		else
#pragma GCC unroll 6
			for (int r = 0; r < M; r++, in += s->x_step)
				if ((unsigned)(s->at + r * s->apart + u) < (unsigned)s->iw) TAP(r)
#undef TAP
	}
}

// Where an output has two lanes: what they sum to, of two positions side by side or of one alone.
INLINE void tile_outputs(const tile_part *s, float *y, int v, const vf *acc, int two, int64_t step) {
#if HALVES == 2
	vf sum = two ? add_pairs(acc[0], acc[1]) : add_pairs(acc[0], acc[0]);
	if (s->more) {
		if (s->add) sum += two ? load_apart(y, step) : load_both(y);
		if (s->bias) sum += load_both(s->bias + v * BLOCK);
		if (s->act == NS_RELU) sum = maximum(sum, splat(0));
	}
	if (two) store_apart(y, step, sum);
	else store_half(y, sum);
#endif
}

INLINE void tile(const tile_part *s, int W, int Q, int M, int form, int mode) {
	vf acc[28];
	const int64_t step = ANY(form) ? s->y_step : BLOCK;
	// The outputs lie in memory that has not been touched for long: fetch it meanwhile.
#pragma GCC unroll 4
	for (int v = 0; v < W; v++)
#pragma GCC unroll 4
		for (int q = 0; q < Q; q++)
#pragma GCC unroll 14
			for (int r = 0; r < M; r++) {
				float *y = s->y + v * s->y_next + q * s->y_image + r * step;
				if (ANY(form) || r % (16 / BLOCK) == 0) {
					__builtin_prefetch(y, 1);
					if (HALVES == 2 && !STEPPED(form)) __builtin_prefetch(y + s->y_apart, 1);
				}
				acc[(v * Q + q) * M + r] = splat(0);
			}
	if (s->add && !STEPPED(form))
#pragma GCC unroll 4
		for (int v = 0; v < W; v++)
#pragma GCC unroll 4
			for (int q = 0; q < Q; q++)
#pragma GCC unroll 14
				for (int r = 0; r < M; r++) acc[(v * Q + q) * M + r] = load_apart(s->y + v * s->y_next + q * s->y_image + r * step, s->y_apart);
	if (s->bias && !STEPPED(form))
#pragma GCC unroll 4
		for (int v = 0; v < W; v++) {
			vf bias = load_both(s->bias + v * BLOCK);
#pragma GCC unroll 28
			for (int r = 0; r < Q * M; r++) acc[v * Q * M + r] += bias;
		}
	const char *ahead = s->ahead;
	for (int k = s->k0; k < s->k1; k++) {
		const float *w = s->w + k * s->w_row;
		for (int b = 0; b < s->blocks; b++) {
			const float *x = s->x + k * s->x_row + b * s->x_block;
			if (ANY(form))
				for (int i = 0; i < s->width; i++, w += s->taps * (DENSE(form) ? LANES : BLOCK)) {
					FETCH(s, ahead);
					any_input(s, acc, x + i * HALVES, w, W, M, form);
				}
			else if (DENSE(form))
#pragma GCC unroll 4
				for (int i = 0; i < STEPS_OF_BLOCK; i++, w += TAPS(form) * LANES) {
					FETCH(s, ahead);
					tile_input(s, acc, x + i * HALVES, w, (vi){}, W, Q, M, form, mode);
				}
			else if (OWN(form)) {
				FETCH(s, ahead);
				tile_input(s, acc, x, w, (vi){}, W, Q, M, form, mode);
			} else
				for (int i = 0; i < s->width; i++, w += TAPS(form) * BLOCK) {
					RELOAD(x);
					FETCH(s, ahead);
					tile_input(s, acc, x, w, s->places[i], W, Q, M, form, mode);
				}
		}
	}
	if (STEPPED(form)) {
#pragma GCC unroll 4
		for (int v = 0; v < W; v++)
#pragma GCC unroll 4
			for (int q = 0; q < Q; q++)
#pragma GCC unroll 14
				for (int r = 0; r < M; r += 2) tile_outputs(s, s->y + v * s->y_next + q * s->y_image + r * step, v, acc + (v * Q + q) * M + r, r + 1 < M, step);
		return;
	}
	if (s->act == NS_RELU)
#pragma GCC unroll 28
		for (int r = 0; r < W * Q * M; r++) acc[r] = maximum(acc[r], splat(0));
#pragma GCC unroll 4
	for (int v = 0; v < W; v++)
#pragma GCC unroll 4
		for (int q = 0; q < Q; q++)
#pragma GCC unroll 14
			for (int r = 0; r < M; r++) store_apart(s->y + v * s->y_next + q * s->y_image + r * step, s->y_apart, acc[(v * Q + q) * M + r]);
}

// The tiles that there are: as many sums as the registers hold beside the weights and an input. Of more than 8 positions
// only even ones: see next_part.
#define TILES4(F, K, S, W, Q) F(K, S, W, Q, 1) F(K, S, W, Q, 2) F(K, S, W, Q, 3) F(K, S, W, Q, 4)
#define TILES6(F, K, S, W, Q) TILES4(F, K, S, W, Q) F(K, S, W, Q, 5) F(K, S, W, Q, 6)
#define TILES7(F, K, S, W, Q) TILES6(F, K, S, W, Q) F(K, S, W, Q, 7)
#define TILES8(F, K, S, W, Q) TILES7(F, K, S, W, Q) F(K, S, W, Q, 8)
#define TILES9(F, K, S, W, Q) TILES8(F, K, S, W, Q) F(K, S, W, Q, 9)
#define TILES10(F, K, S, W, Q) TILES8(F, K, S, W, Q) F(K, S, W, Q, 10)
#define TILES12(F, K, S, W, Q) TILES10(F, K, S, W, Q) F(K, S, W, Q, 12)
#define TILES14(F, K, S, W, Q) TILES12(F, K, S, W, Q) F(K, S, W, Q, 14)
#if LANES == 16
#define POINTS(F) TILES14(F, DENSE1, ROW1, 1, 1) TILES14(F, DENSE1, ROW1, 2, 1) TILES9(F, DENSE1, ROW1, 3, 1) TILES6(F, DENSE1, ROW1, 4, 1)
#define ROWS(F, S) TILES14(F, DENSE3, S, 1, 1) TILES7(F, DENSE3, S, 1, 2) TILES4(F, DENSE3, S, 1, 4) TILES12(F, DENSE3, S, 2, 1) TILES6(F, DENSE3, S, 2, 2) \
	TILES7(F, DENSE3, S, 3, 1) TILES4(F, DENSE3, S, 4, 1)
#define STEPS(F, S) TILES14(F, DENSE3, S, 1, 1) TILES12(F, DENSE3, S, 1, 2) TILES12(F, DENSE3, S, 2, 1) TILES4(F, DENSE3, S, 2, 2) TILES8(F, DENSE3, S, 3, 1) TILES4(F, DENSE3, S, 4, 1)
#define OWNS(F, S) TILES14(F, OWN3, S, 1, 1) TILES14(F, OWN5, S, 1, 1) TILES14(F, OWN7, S, 1, 1)
#define OWN_STEPS(F, S) TILES14(F, OWN3, S, 1, 1) TILES10(F, OWN5, S, 1, 1) TILES10(F, OWN7, S, 1, 1)
#define NARROWS(F, S) TILES14(F, NARROW3, S, 1, 1) TILES7(F, NARROW3, S, 1, 2)
#define ANYS(F) TILES6(F, OWN_ANY, ROW1, 1, 1) TILES6(F, DENSE_ANY, ROW1, 1, 1) TILES6(F, DENSE_ANY, ROW1, 2, 1) TILES6(F, DENSE_ANY, ROW1, 3, 1) TILES6(F, DENSE_ANY, ROW1, 4, 1)
#else
#define POINTS(F) TILES12(F, DENSE1, ROW1, 1, 1) TILES6(F, DENSE1, ROW1, 2, 1) TILES4(F, DENSE1, ROW1, 3, 1)
#define ROWS(F, S) TILES12(F, DENSE3, S, 1, 1) TILES6(F, DENSE3, S, 1, 2) TILES4(F, DENSE3, S, 1, 3) TILES4(F, DENSE3, S, 2, 1)
#define STEPS(F, S) TILES8(F, DENSE3, S, 1, 1) TILES6(F, DENSE3, S, 1, 2) TILES4(F, DENSE3, S, 1, 3) TILES4(F, DENSE3, S, 2, 1)
#define OWNS(F, S) TILES10(F, OWN3, S, 1, 1) TILES8(F, OWN5, S, 1, 1) TILES7(F, OWN7, S, 1, 1)
#define OWN_STEPS(F, S) OWNS(F, S)
#define NARROWS(F, S) TILES10(F, NARROW3, S, 1, 1) TILES4(F, NARROW3, S, 1, 2)
#define ANYS(F) TILES6(F, OWN_ANY, ROW1, 1, 1) TILES6(F, DENSE_ANY, ROW1, 1, 1) TILES6(F, DENSE_ANY, ROW1, 2, 1)
#endif
#define ALL(F) POINTS(F) ROWS(F, ROW1) STEPS(F, ROW2) STEPS(F, ROW2_BACK) OWNS(F, ROW1) OWN_STEPS(F, ROW2) OWN_STEPS(F, ROW2_BACK) \
	NARROWS(F, ROW1) NARROWS(F, ROW2) NARROWS(F, ROW2_BACK) ANYS(F)

// The passes that are left out find next to nothing in these, and took a third of the time that they compile; with
// few registers they find something.
#pragma GCC push_options
#if LANES == 16
#pragma GCC optimize("no-tree-pre", "no-tree-vrp", "no-tree-slp-vectorize", "no-schedule-insns2", "no-gcse", "no-tree-pta", \
	"no-tree-dominator-opts", "no-thread-jumps", "no-code-hoisting", "no-tree-tail-merge", "no-crossjumping", "no-rerun-cse-after-loop", \
	"no-cse-follow-jumps", "no-tree-sink", "no-tree-loop-distribute-patterns", "no-ree", "no-cprop-registers", "no-store-merging")
#endif
enum { MOST_W = 4, MOST_Q = 4, MOST_M = 14 };
typedef void tile_run(const tile_part *s);
// Functions of their own: one that held them all would be too much for the compiler's register allocation.
#define FUNCTION(K, S, W, Q, M) static __attribute__((noinline)) void tile_##K##_##S##_##W##_##Q##_##M(const tile_part *s) { tile(s, W, Q, M, K, S); }
ALL(FUNCTION)
#undef FUNCTION
#pragma GCC pop_options
#define ENTRY(K, S, W, Q, M) [K][S][W][Q][M] = tile_##K##_##S##_##W##_##Q##_##M,
static tile_run *const tiles[FORMS][3][MOST_W + 1][MOST_Q + 1][MOST_M + 1] = {ALL(ENTRY)};
#undef ENTRY

// The next part of a row of which so many positions are left: parts of nearly the same size, for which there is a
// tile. Of ROW2_BACK all but the last are even.
static int next_part(tile_run *const *of, int mode, int most, int left) {
	const int back = mode == ROW2_BACK, parts = (left + (back ? most & ~1 : most) - 1) / (back ? most & ~1 : most);
	int m = (left + parts - 1) / parts;
	if (m == left && !of[m]) m = (left + 1) / 2;
	if (m < left && (back || !of[m])) m = (m + 1) & ~1;
	return m;
}

static int most_positions(int form, int mode, int w, int q) {
	int m = MOST_M;
	while (m > 0 && !tiles[form][mode][w][q][m]) m--;
	return m;
}

// The maps of a pass: forward, or backward data, which goes the other way.
typedef struct {
	int form, mode, taps, groups, blocks, vectors; // the last two of a group: of inputs, and of outputs
	int inputs, lanes; // steps over the inputs of a block; lanes of a vector that have weights of their own
	int together;      // images to a vector
	int stride, back;  // backward data
	int ih, iw, oh, ow;
	int64_t in_map, out_map;
} tile_pass;

static tile_pass pass_of(const ns_shape *s, int data) {
	tile_pass p = {.mode = s->kernel == 1 || s->stride == 1 ? ROW1 : data ? ROW2_BACK : ROW2, .taps = s->kernel};
	p.form = s->width == 0 && s->kernel == 1 ? DENSE1 : s->width == 1 ? OWN3 + (s->kernel - 3) / 2 : s->width ? NARROW3 : DENSE3;
	if (ns_tile_any(s)) p.form = s->width ? OWN_ANY : DENSE_ANY, p.mode = ROW1;
	p.stride = p.form == DENSE1 ? 1 : s->stride, p.back = data;
	p.groups = OWN(p.form) ? s->ic / BLOCK : s->groups;
	p.inputs = DENSE(p.form) ? STEPS_OF_BLOCK : s->width;
	p.lanes = DENSE(p.form) ? LANES : BLOCK, p.together = DENSE(p.form) ? 1 : HALVES;
	const int in = s->ic / BLOCK / p.groups, out = s->oc / BLOCK / p.groups;
	p.blocks = data ? out : in, p.vectors = data ? in : out;
	p.ih = data ? s->oh : s->ih, p.iw = data ? s->ow : s->iw, p.oh = data ? s->ih : s->oh, p.ow = data ? s->iw : s->ow;
	if (p.form == DENSE1) { // positions that a stride picks have been picked
		p.ih = p.oh = 1, p.iw = p.ow = s->oh * s->ow;
	}
	p.in_map = (int64_t)p.ih * p.iw * BLOCK, p.out_map = (int64_t)p.oh * p.ow * BLOCK;
	return p;
}

// Cycles per input channel of a row of outputs in q images: what is slowest of two multiply-adds a
// cycle, somewhat more than one load (what the weaker processors do), and the wait of a sum for itself.
static double row_cost(const tile_pass *p, int w, int q) {
	int most = most_positions(p->form, p->mode, w, q), taps = p->taps;
	double cost = 0;
	for (int left = ANY(p->form) && p->back ? (p->ow + p->stride - 1) / p->stride : p->ow, m; left > 0; left -= m) {
		m = next_part(tiles[p->form][p->mode][w][q], p->mode, most, left);
		int inputs = p->mode == ROW1 ? m + taps - 1 : p->mode == ROW2 ? 2 * m + taps - 2 : (m - 1 + taps / 2) / 2 + taps / 4 + 1;
		if (ANY(p->form)) inputs = m * taps;
		double half = p->mode == ROW2_BACK ? taps / 2. : taps; // of the taps meet an output
		double multiply = half * w * q * m / 2, loads = 0.9 * (w * taps + q * inputs), wait = p->mode == ROW2_BACK ? 8 : 5 * taps;
		double c = multiply > loads ? multiply : loads;
		cost += (c > wait ? c : wait) + 2; // the loop
	}
	return cost;
}

// The tile for a pass.
static ns_tile choose(const ns_shape *s, const tile_pass *p) {
	const int images = (s->n + p->together - 1) / p->together;
	ns_tile best = {1, most_positions(p->form, p->mode, 1, 1), 1};
	if (s->vectors && s->vectors <= p->vectors && s->images <= images && most_positions(p->form, p->mode, s->vectors, s->images))
		return (ns_tile){s->vectors, most_positions(p->form, p->mode, s->vectors, s->images), s->images};
	double least = 0;
	for (int w = 1; w <= MOST_W && w <= p->vectors; w++)
		for (int q = 1; q <= MOST_Q && q <= images; q++) {
			if (!most_positions(p->form, p->mode, w, q)) continue;
			int w1 = p->vectors % w, q1 = images % q;
			double cost = 0;
			// Vectors and images that are left over go by tiles of one image.
			cost += (double)(p->vectors / w) * (images / q) * row_cost(p, w, q);
			if (q1) cost += (double)(p->vectors / w) * q1 * row_cost(p, w, 1);
			if (w1) cost += (double)images * row_cost(p, w1, 1);
			if (least == 0 || cost < least) least = cost, best = (ns_tile){w, most_positions(p->form, p->mode, w, q), q};
		}
	return best;
}

// An activation that takes more than registers: of what a tile has written, from the first-level cache.
static __attribute__((noinline)) void activate(const tile_part *s, int W, int Q, int M) {
	for (int v = 0; v < W; v++)
		for (int q = 0; q < Q; q++)
			for (int r = 0; r < M; r++) {
				float *y = s->y + v * s->y_next + q * s->y_image + r * s->y_step;
				store_apart(y, s->y_apart, act_of(load_apart(y, s->y_apart), s->act));
			}
}

// One tile, and what follows it.
static void tile_one(tile_part *s, const tile_pass *p, int w, int q, int m, ns_ahead *ahead) {
	s->ahead = ns_fetch(ahead, (int64_t)(s->k1 - s->k0) * s->blocks * p->inputs, LINE, s->w, &s->fetch);
	tiles[p->form][p->mode][w][q][m](s);
	if (s->act > NS_RELU) activate(s, w, q, m);
}

// The rows of outputs of q images by tiles of w vectors.
static void tile_rows(tile_part s, const tile_pass *p, int w, int q, ns_ahead *ahead) {
	const float *x = s.x, *weights = s.w;
	float *y = s.y;
	const int mode = p->mode, taps = p->taps, pad = taps / 2, most = most_positions(p->form, mode, w, q);
	tile_run *const *of = tiles[p->form][mode][w][q];
	s.x_row = (int64_t)p->iw * BLOCK;
	for (int oy = 0; oy < p->oh; oy++) {
		// The first row of inputs, which may not be there, and how many follow; of ROW2_BACK even and odd rows have other rows of the kernel.
		int row = mode == ROW1 ? oy - pad : mode == ROW2 ? 2 * oy - pad : (oy - pad + 1) >> 1, rows = taps;
		s.w = weights;
		if (mode == ROW2_BACK) rows = (oy + pad) % 2 ? pad : pad + 1, s.w += oy % 2 * (pad + 1 - pad % 2) * s.w_row;
		s.k0 = row < 0 ? -row : 0, s.k1 = p->ih - row < rows ? p->ih - row : rows;
		s.x = x + row * s.x_row, s.y = y + (int64_t)oy * p->ow * BLOCK;
		for (int at = 0, m; at < p->ow; at += m) {
			m = next_part(of, mode, most, p->ow - at);
			const int in = mode == ROW2 ? 2 * at : mode == ROW2_BACK ? at / 2 : at;
			s.left = in, s.right = p->iw - 1 - (mode == ROW1 ? at + m - 1 : mode == ROW2 ? 2 * (at + m - 1) : (at + m - 1) / 2);
			tile_one(&s, p, w, q, m, ahead);
			s.x = x + row * s.x_row + (mode == ROW2 ? 2 * (at + m) : mode == ROW2_BACK ? (at + m) / 2 : at + m) * BLOCK;
			s.y += m * BLOCK;
		}
	}
}

// The first tap that reads an input, in the turned weights, for output o of backward data: every one after stride.
static int first_tap(const tile_pass *p, int o) { return p->back ? ((p->taps / 2 - o) % p->stride + p->stride) % p->stride : 0; }

// The input that it reads: a multiple of the stride lies there.
static int first_input(const tile_pass *p, int o) {
	const int pad = p->taps / 2;
	return p->back ? (o - pad + first_tap(p, o)) / p->stride : o * p->stride - pad;
}

// As tile_rows, of any kernel and stride. Of backward data go outputs together that are a stride apart: they have taps in common.
static void any_rows(tile_part s, const tile_pass *p, int w, ns_ahead *ahead) {
	const float *x = s.x, *weights = s.w;
	float *y = s.y;
	const int most = most_positions(p->form, ROW1, w, 1), apart = p->back ? p->stride : 1;
	const int64_t row = s.w_row;
	tile_run *const *of = tiles[p->form][ROW1][w][1];
	s.x_row = (int64_t)p->iw * BLOCK, s.w_row = apart * row, s.w_tap = apart * p->lanes;
	s.taps = p->taps, s.iw = p->iw, s.apart = p->back ? 1 : p->stride, s.x_step = s.apart * BLOCK, s.y_step = apart * BLOCK;
	for (int oy = 0; oy < p->oh; oy++) {
		const int k = first_tap(p, oy), above = first_input(p, oy), rows = (p->taps - k + apart - 1) / apart;
		s.k0 = above < 0 ? -above : 0, s.k1 = p->ih - above < rows ? p->ih - above : rows;
		for (int of_stride = 0; of_stride < apart && of_stride < p->ow; of_stride++) {
			const int t = first_tap(p, of_stride), taps = (p->taps - t + apart - 1) / apart;
			s.w = weights + k * row + t * p->lanes;
			for (int ox = of_stride, m; ox < p->ow; ox += m * apart) {
				m = next_part(of, ROW1, most, (p->ow - ox + apart - 1) / apart);
				s.at = first_input(p, ox);
				const int end = s.at + (m - 1) * s.apart; // of the last output
				s.first = end < 0 ? -end : 0, s.last = p->iw - s.at < taps ? p->iw - s.at : taps;
				s.inner = s.at < 0 ? -s.at : 0, s.outer = p->iw - end < taps ? p->iw - end : taps;
				s.x = x + above * s.x_row + s.at * BLOCK, s.y = y + ((int64_t)oy * p->ow + ox) * BLOCK;
				tile_one(&s, p, w, 1, m, ahead);
			}
		}
	}
}

// Weights that are read again and again: to stay in the first-level cache. Where the length of a part changes the order of a sum, whose rows
// of the kernel or lanes are added part by part, it must not depend on the tile: it is that of tiles of two vectors.
#define WEIGHTS_AT_ONCE (24 << 10)

// Forward, or backward data. x, y: what is read and written; w: [groups][vectors][rows][inputs][taps][lanes];
// bias: of the outputs, or NULL.
static void tile_product(const ns_shape *s, ns_tile t, int data, const float *x, const float *w, const float *bias, float *y, ns_ahead *ahead) {
	const tile_pass p = pass_of(s, data);
	const int64_t in_image = p.groups * p.blocks * p.in_map, out_image = p.groups * p.vectors * p.out_map;
	const int64_t input = (int64_t)p.taps * p.lanes, row = p.blocks * p.inputs * input, vector = row * p.taps;
	vi places[BLOCK] ALIGNED;
	tile_part a = {.w_row = row, .x_block = p.in_map, .w_next = vector, .y_next = p.out_map,
		.x_image = p.together * in_image, .y_image = p.together * out_image, .width = p.inputs, .places = places, .y_step = BLOCK};
	for (int i = 0; p.form == NARROW3 && i < p.inputs; i++) places[i] = place_of(p.inputs, i);
	int at_once = WEIGHTS_AT_ONCE / ((STEPPED(p.form) || p.taps > 1 ? 2 : t.vectors) * p.taps * p.inputs * input * (int)sizeof(float));
	if (at_once < 1) at_once = 1;
	for (int g = 0; g < p.groups; g++)
		for (int v = 0, m; v < p.vectors; v += m) {
			m = p.vectors - v < t.vectors ? p.vectors - v : t.vectors;
			for (int b = 0; b < p.blocks; b += at_once) {
				a.blocks = p.blocks - b < at_once ? p.blocks - b : at_once, a.add = b > 0 || s->sum;
				a.bias = bias && b == 0 ? bias + (g * p.vectors + v) * BLOCK : NULL;
				a.act = b + a.blocks == p.blocks ? s->act : NS_IDENTITY;
				a.more = a.add || a.bias || a.act != NS_IDENTITY;
				a.w = w + (g * p.vectors + v) * vector + b * p.inputs * input;
				for (int n = 0, q; n < s->n; n += q * p.together) {
					q = m == t.vectors && s->n - n >= t.images * p.together ? t.images : 1;
					// A last image without a second one is done twice, into the same place.
					if (p.together == 2) a.x_apart = n + 1 < s->n ? in_image : 0, a.y_apart = n + 1 < s->n ? out_image : 0;
					a.x = x + n * in_image + (int64_t)(g * p.blocks + b) * p.in_map;
					a.y = y + n * out_image + (int64_t)(g * p.vectors + v) * p.out_map;
					if (ANY(p.form)) any_rows(a, &p, m, ahead);
					else tile_rows(a, &p, m, q, ahead);
				}
			}
		}
}
#endif
