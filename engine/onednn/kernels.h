// The element-wise kernels, each over a chunk of n images. Loops run over
// channel blocks first, so that per-channel constants stay in registers and
// sums flow over images; a float sum takes at most FLUSH elements before it
// joins a double one, which bounds its rounding error near FLUSH/4 ulp.
#ifndef KERNELS_H
#define KERNELS_H
#include "ns.h"
#include "vec.h"
#include <string.h>

#define FLUSH 1024

typedef struct {
	float *p;
	int64_t stride; // floats per image
} view;

INLINE float *tile(view v, int i, int cb, int64_t hw) { return v.p + i * v.stride + cb * hw * 8; }
INLINE v8 chan(const float *base, int64_t off, int cb, float missing) {
	return off < 0 ? splat(missing) : load8(base + off + cb * 8);
}

// act(z), zero in padding lanes
INLINE v8 value8(v8 z, int act, v8 lanes) {
	z = act8(z, act);
	return act == NS_SIGMOID ? z * lanes : z;
}

// y = act(s*x+t) * gate
INLINE void apply_u(const ns_op *o, const float *ar, view x, view y, view gate, int n, int act, int norm, int gated) {
	int64_t hw = o->hw;
	for (int cb = 0; cb < o->c8; cb++) {
		v8 s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), lanes = chan(ar, o->lanes, cb, 1);
		for (int i = 0; i < n; i++) {
			const float *a = tile(x, i, cb, hw);
			float *b = tile(y, i, cb, hw);
			v8 g = gated ? load8(tile(gate, i, cb, 1)) : splat(1);
			for (int64_t p = 0; p < hw * 8; p += 8) {
				v8 v = load8(a + p);
				if (norm) v = v * s + t;
				v = value8(v, act, lanes);
				if (gated) v *= g;
				store8(b + p, v);
			}
		}
	}
}

static void run_apply_u(const ns_op *o, const float *ar, view x, view y, view gate, int n) {
	int norm = o->s >= 0 || o->t >= 0;
#define CASE(A) \
	case A: \
		if (gate.p) apply_u(o, ar, x, y, gate, n, A, 1, 1); \
		else if (norm) apply_u(o, ar, x, y, gate, n, A, 1, 0); \
		else apply_u(o, ar, x, y, gate, n, A, 0, 0); \
		break;
	switch (o->act) { CASE(0) CASE(1) CASE(2) CASE(3) }
#undef CASE
}

// y = act(mask*(s*x+t) + (s2*r+t2))
INLINE void apply_a(const ns_op *o, const float *ar, view x, view r, view mask, view y, int n, int act, int norm2) {
	int64_t hw = o->hw;
	for (int cb = 0; cb < o->c8; cb++) {
		v8 s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0);
		v8 s2 = chan(ar, o->s2, cb, 1), t2 = chan(ar, o->t2, cb, 0), lanes = chan(ar, o->lanes, cb, 1);
		for (int i = 0; i < n; i++) {
			const float *a = tile(x, i, cb, hw), *c = tile(r, i, cb, hw);
			float *b = tile(y, i, cb, hw);
			v8 m = mask.p ? splat(mask.p[i * mask.stride]) : splat(1);
			v8 sm = s * m, tm = t * m;
			if (norm2) {
				tm += t2;
				for (int64_t p = 0; p < hw * 8; p += 8) store8(b + p, value8(load8(a + p) * sm + tm + load8(c + p) * s2, act, lanes));
			} else {
				for (int64_t p = 0; p < hw * 8; p += 8) store8(b + p, value8(load8(a + p) * sm + tm + load8(c + p), act, lanes));
			}
		}
	}
}

static void run_apply_a(const ns_op *o, const float *ar, view x, view r, view mask, view y, int n) {
	int norm2 = o->s2 >= 0 || o->t2 >= 0;
#define CASE(A) \
	case A: \
		if (norm2) apply_a(o, ar, x, r, mask, y, n, A, 1); \
		else apply_a(o, ar, x, r, mask, y, n, A, 0); \
		break;
	switch (o->act) { CASE(0) CASE(1) CASE(2) CASE(3) }
#undef CASE
}

// Sums of (x-pivot) and its square. acc: pivot[c], sum[c], square[c] per
// thread; the pivot is the thread's first element, so that a mean far from
// zero costs no digits of the variance.
static void run_stats(const ns_op *o, double *acc, view x, int n, int first) {
	int64_t hw = o->hw, c = o->c8 * 8;
	for (int cb = 0; cb < o->c8; cb++) {
		double *pivot = acc + cb * 8, *sum = acc + c + cb * 8, *sq = acc + 2 * c + cb * 8;
		if (first)
			for (int k = 0; k < 8; k++) pivot[k] = tile(x, 0, cb, hw)[k], sum[k] = sq[k] = 0;
		v8 pv;
		for (int k = 0; k < 8; k++) pv[k] = pivot[k];
		v8 s0 = splat(0), s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
		int64_t since = 0;
		for (int i = 0; i < n; i++) {
			const float *a = tile(x, i, cb, hw);
			int64_t p = 0;
			while (p < hw) {
				int64_t end = hw - p > FLUSH ? p + FLUSH : hw;
				since += end - p;
				for (; p + 4 <= end; p += 4) {
					v8 d0 = load8(a + p * 8) - pv, d1 = load8(a + p * 8 + 8) - pv, d2 = load8(a + p * 8 + 16) - pv, d3 = load8(a + p * 8 + 24) - pv;
					s0 += d0, s1 += d1, s2 += d2, s3 += d3;
					q0 += d0 * d0, q1 += d1 * d1, q2 += d2 * d2, q3 += d3 * d3;
				}
				for (; p < end; p++) {
					v8 d = load8(a + p * 8) - pv;
					s0 += d, q0 += d * d;
				}
				if (since >= FLUSH) {
					add_double(sum, (s0 + s1) + (s2 + s3)), add_double(sq, (q0 + q1) + (q2 + q3));
					s0 = s1 = s2 = s3 = q0 = q1 = q2 = q3 = splat(0), since = 0;
				}
			}
		}
		add_double(sum, (s0 + s1) + (s2 + s3)), add_double(sq, (q0 + q1) + (q2 + q3));
	}
}

INLINE void pool(const ns_op *o, const float *ar, view x, view y, int n, int act) {
	int64_t hw = o->hw;
	v8 scale = splat(1.f / hw);
	for (int cb = 0; cb < o->c8; cb++) {
		v8 s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), lanes = chan(ar, o->lanes, cb, 1);
		for (int i = 0; i < n; i++) {
			const float *a = tile(x, i, cb, hw);
			v8 sum = splat(0), sum1 = sum;
			int64_t p = 0;
			for (; p + 2 <= hw; p += 2) {
				sum += value8(load8(a + p * 8) * s + t, act, lanes);
				sum1 += value8(load8(a + p * 8 + 8) * s + t, act, lanes);
			}
			for (; p < hw; p++) sum += value8(load8(a + p * 8) * s + t, act, lanes);
			store8(tile(y, i, cb, 1), (sum + sum1) * scale);
		}
	}
}

static void run_pool(const ns_op *o, const float *ar, view x, view y, int n) {
	switch (o->act) {
	case 0: pool(o, ar, x, y, n, 0); break;
	case 1: pool(o, ar, x, y, n, 1); break;
	case 2: pool(o, ar, x, y, n, 2); break;
	case 3: pool(o, ar, x, y, n, 3); break;
	}
}

INLINE void dgate(const ns_op *o, const float *ar, view x, view g, view y, int n, int act) {
	int64_t hw = o->hw;
	for (int cb = 0; cb < o->c8; cb++) {
		v8 s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), lanes = chan(ar, o->lanes, cb, 1);
		for (int i = 0; i < n; i++) {
			const float *a = tile(x, i, cb, hw), *d = tile(g, i, cb, hw);
			v8 sum = splat(0), sum1 = sum;
			int64_t p = 0;
			for (; p + 2 <= hw; p += 2) {
				sum += load8(d + p * 8) * value8(load8(a + p * 8) * s + t, act, lanes);
				sum1 += load8(d + p * 8 + 8) * value8(load8(a + p * 8 + 8) * s + t, act, lanes);
			}
			for (; p < hw; p++) sum += load8(d + p * 8) * value8(load8(a + p * 8) * s + t, act, lanes);
			store8(tile(y, i, cb, 1), sum + sum1);
		}
	}
}

static void run_dgate(const ns_op *o, const float *ar, view x, view g, view y, int n) {
	switch (o->act) {
	case 0: dgate(o, ar, x, g, y, n, 0); break;
	case 1: dgate(o, ar, x, g, y, n, 1); break;
	case 2: dgate(o, ar, x, g, y, n, 2); break;
	case 3: dgate(o, ar, x, g, y, n, 3); break;
	}
}

// The gradient that arrives at an element: the sum of what the consumers sent.
typedef struct {
	view g1, g2, g3, gate, bc;
} sources;

enum { G1 = 1, G2 = 2, G3 = 4, GATE = 8, BC = 16 };

// One tile of the backward pass through y = act(s*x+t): z gradient and sums.
INLINE void pass_u(const ns_op *o, const float *ar, double *acc, view x, view y, sources q, int n, int first, int act, int has, int norm) {
	int64_t hw = o->hw, c = o->c8 * 8;
	v8 area = splat(1.f / hw);
	for (int cb = 0; cb < o->c8; cb++) {
		v8 s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), mean = chan(ar, o->mean, cb, 0);
		double *sum = acc + cb * 8, *prod = acc + c + cb * 8;
		if (norm && first) memset(sum, 0, 64), memset(prod, 0, 64);
		v8 s0 = splat(0), p0 = s0;
		int64_t since = 0;
		for (int i = 0; i < n; i++) {
			const float *a = x.p ? tile(x, i, cb, hw) : 0;
			const float *g1 = has & G1 ? tile(q.g1, i, cb, hw) : 0, *g2 = has & G2 ? tile(q.g2, i, cb, hw) : 0, *g3 = has & G3 ? tile(q.g3, i, cb, hw) : 0;
			float *b = tile(y, i, cb, hw);
			v8 gate = has & GATE ? load8(tile(q.gate, i, cb, 1)) : splat(1);
			v8 bc = has & BC ? load8(tile(q.bc, i, cb, 1)) * area : splat(0);
			for (int64_t p = 0; p < hw;) {
				int64_t end = hw - p > FLUSH ? p + FLUSH : hw;
				since += end - p;
				for (; p < end; p++) {
					v8 g = bc;
					if (has & G1) g += load8(g1 + p * 8);
					if (has & G2) g += load8(g2 + p * 8);
					if (has & G3) g += has & GATE ? load8(g3 + p * 8) * gate : load8(g3 + p * 8);
					if (norm || act) {
						v8 v = load8(a + p * 8);
						g = dact8(g, v * s + t, act);
						if (norm) s0 += g, p0 += g * (v - mean);
					}
					store8(b + p * 8, g);
				}
				if (norm && since >= FLUSH) add_double(sum, s0), add_double(prod, p0), s0 = p0 = splat(0), since = 0;
			}
		}
		if (norm) add_double(sum, s0), add_double(prod, p0);
	}
}

static void run_pass_u(const ns_op *o, const float *ar, double *acc, view x, view y, sources q, int n, int first) {
	int norm = o->acc >= 0;
	int has = (q.g1.p ? G1 : 0) | (q.g2.p ? G2 : 0) | (q.g3.p ? G3 : 0) | (q.gate.p ? GATE : 0) | (q.bc.p ? BC : 0);
#define ACT(A) \
	if (o->act == A) { \
		if (norm && has == G1) pass_u(o, ar, acc, x, y, q, n, first, A, G1, 1); \
		else if (norm && has == (G1 | G2)) pass_u(o, ar, acc, x, y, q, n, first, A, G1 | G2, 1); \
		else if (norm && has == (G3 | GATE | BC)) pass_u(o, ar, acc, x, y, q, n, first, A, G3 | GATE | BC, 1); \
		else if (norm && has == BC) pass_u(o, ar, acc, x, y, q, n, first, A, BC, 1); \
		else pass_u(o, ar, acc, x, y, q, n, first, A, has, norm); \
	}
	ACT(0) ACT(1) ACT(2) ACT(3)
#undef ACT
}

// Through y = act(mask*norm(x) + norm2(r)): the gradient of the sum, and the
// sums for both norms.
INLINE void pass_a(const ns_op *o, const float *ar, double *acc, double *acc2, view x, view r, view out, view mask, view y, sources q, int n, int first, int act, int relu_y, int has, int norm, int norm2) {
	int64_t hw = o->hw, c = o->c8 * 8;
	v8 area = splat(1.f / hw);
	for (int cb = 0; cb < o->c8; cb++) {
		v8 s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), mean = chan(ar, o->mean, cb, 0);
		v8 s2 = chan(ar, o->s2, cb, 1), t2 = chan(ar, o->t2, cb, 0), mean2 = chan(ar, o->mean2, cb, 0);
		double *sum = acc + cb * 8, *prod = acc + c + cb * 8, *sum2 = acc2 + cb * 8, *prod2 = acc2 + c + cb * 8;
		if (first && norm) memset(sum, 0, 64), memset(prod, 0, 64);
		if (first && norm2) memset(sum2, 0, 64), memset(prod2, 0, 64);
		v8 a0 = splat(0), a1 = a0, b0 = a0, b1 = a0;
		int64_t since = 0;
		for (int i = 0; i < n; i++) {
			const float *xa = tile(x, i, cb, hw), *ra = r.p ? tile(r, i, cb, hw) : 0, *oa = relu_y ? tile(out, i, cb, hw) : 0;
			const float *g1 = has & G1 ? tile(q.g1, i, cb, hw) : 0, *g2 = has & G2 ? tile(q.g2, i, cb, hw) : 0, *g3 = has & G3 ? tile(q.g3, i, cb, hw) : 0;
			float *b = tile(y, i, cb, hw);
			v8 m = mask.p ? splat(mask.p[i * mask.stride]) : splat(1);
			v8 gate = has & GATE ? load8(tile(q.gate, i, cb, 1)) : splat(1);
			v8 bc = has & BC ? load8(tile(q.bc, i, cb, 1)) * area : splat(0);
			v8 ia = splat(0), ib = splat(0); // this image's sums, before its mask
			for (int64_t p = 0; p < hw;) {
				int64_t end = hw - p > FLUSH ? p + FLUSH : hw;
				since += end - p;
				for (; p < end; p++) {
					v8 g = bc;
					if (has & G1) g += load8(g1 + p * 8);
					if (has & G2) g += load8(g2 + p * 8);
					if (has & G3) g += has & GATE ? load8(g3 + p * 8) * gate : load8(g3 + p * 8);
					v8 v = load8(xa + p * 8), w = norm2 ? load8(ra + p * 8) : splat(0);
					if (relu_y) g = dact8(g, load8(oa + p * 8), 1);
					else if (act) {
						v8 z = (v * s + t) * m;
						if (r.p) z += (norm2 ? w : load8(ra + p * 8)) * s2 + t2;
						g = dact8(g, z, act);
					}
					if (norm) ia += g, ib += g * (v - mean);
					if (norm2) b0 += g, b1 += g * (w - mean2);
					store8(b + p * 8, g);
				}
				if (since >= FLUSH) {
					if (norm) add_double(sum, a0 + ia * m), add_double(prod, a1 + ib * m);
					if (norm2) add_double(sum2, b0), add_double(prod2, b1);
					a0 = a1 = b0 = b1 = ia = ib = splat(0), since = 0;
				}
			}
			a0 += ia * m, a1 += ib * m;
		}
		if (norm) add_double(sum, a0), add_double(prod, a1);
		if (norm2) add_double(sum2, b0), add_double(prod2, b1);
	}
}

static void run_pass_a(const ns_op *o, const float *ar, double *acc, double *acc2, view x, view r, view out, view mask, view y, sources q, int n, int first) {
	int norm = o->acc >= 0, norm2 = o->acc2 >= 0;
	int has = (q.g1.p ? G1 : 0) | (q.g2.p ? G2 : 0) | (q.g3.p ? G3 : 0) | (q.gate.p ? GATE : 0) | (q.bc.p ? BC : 0);
#define PASS(A, Y, H, M) pass_a(o, ar, acc, acc2, x, r, out, mask, y, q, n, first, A, Y, H, 1, M)
#define HAS(H, M) \
	if (norm && has == (H) && norm2 == M) { \
		if (o->relu_y) { PASS(1, 1, H, M); return; } \
		if (o->act == 0) { PASS(0, 0, H, M); return; } \
		if (o->act == 2) { PASS(2, 0, H, M); return; } \
	}
	HAS(G1, 0) HAS(G1 | G2, 0) HAS(BC, 0)
	HAS(G1, 1) HAS(G1 | G2, 1) HAS(BC, 1)
#undef HAS
#undef PASS
	pass_a(o, ar, acc, acc2, x, r, out, mask, y, q, n, first, o->act, o->relu_y, has, norm, norm2);
}

// y = k1*mask*g + k2*x + k3
static void run_pass_b(const ns_op *o, const float *ar, view g, view x, view mask, view y, int n) {
	int64_t hw = o->hw;
	for (int cb = 0; cb < o->c8; cb++) {
		v8 k1 = chan(ar, o->k1, cb, 1), k2 = chan(ar, o->k2, cb, 0), k3 = chan(ar, o->k3, cb, 0);
		for (int i = 0; i < n; i++) {
			const float *a = tile(g, i, cb, hw);
			float *b = tile(y, i, cb, hw);
			v8 k = mask.p ? k1 * splat(mask.p[i * mask.stride]) : k1;
			if (o->k2 < 0) {
				for (int64_t p = 0; p < hw * 8; p += 8) store8(b + p, load8(a + p) * k);
				continue;
			}
			const float *v = tile(x, i, cb, hw);
			for (int64_t p = 0; p < hw * 8; p += 8) store8(b + p, load8(a + p) * k + (load8(v + p) * k2 + k3));
		}
	}
}

static void run_mul(const ns_op *o, view x, view r, view y, int n) {
	int64_t record = (int64_t)o->c8 * o->hw * 8;
	for (int i = 0; i < n; i++)
		for (int64_t p = 0; p < record; p += 8)
			store8(tile(y, i, 0, 0) + p, load8(tile(x, i, 0, 0) + p) * load8(tile(r, i, 0, 0) + p));
}

// The window of output row oy: input rows [lo, hi).
#define WINDOW(lo, hi, o_, size) \
	int lo = (o_) * s - pad, hi = lo + k; \
	if (lo < 0) lo = 0; \
	if (hi > (size)) hi = (size);

static void run_max_f(const ns_op *o, view x, view y, int n) {
	int k = o->kernel, s = o->stride, pad = (k - 1) / 2;
	for (int i = 0; i < n; i++)
		for (int cb = 0; cb < o->c8; cb++) {
			const float *a = tile(x, i, cb, o->hw);
			float *b = tile(y, i, cb, (int64_t)o->oh * o->ow);
			for (int oy = 0; oy < o->oh; oy++)
				for (int ox = 0; ox < o->ow; ox++, b += 8) {
					WINDOW(y0, y1, oy, o->h)
					WINDOW(x0, x1, ox, o->w)
					v8 m = load8(a + ((int64_t)y0 * o->w + x0) * 8);
					for (int iy = y0; iy < y1; iy++)
						for (int ix = x0; ix < x1; ix++) m = max8nan(m, load8(a + ((int64_t)iy * o->w + ix) * 8));
					store8(b, m);
				}
		}
}

// The gradient goes to the first maximum in row-major order, as in PyTorch.
static void run_max_b(const ns_op *o, view x, view g, view y, int n) {
	int k = o->kernel, s = o->stride, pad = (k - 1) / 2;
	for (int i = 0; i < n; i++)
		for (int cb = 0; cb < o->c8; cb++) {
			const float *a = tile(x, i, cb, o->hw), *d = tile(g, i, cb, (int64_t)o->oh * o->ow);
			float *b = tile(y, i, cb, o->hw);
			memset(b, 0, (size_t)o->hw * 8 * sizeof *b);
			for (int oy = 0; oy < o->oh; oy++)
				for (int ox = 0; ox < o->ow; ox++, d += 8) {
					WINDOW(y0, y1, oy, o->h)
					WINDOW(x0, x1, ox, o->w)
					v8 m = load8(a + ((int64_t)y0 * o->w + x0) * 8);
					for (int iy = y0; iy < y1; iy++)
						for (int ix = x0; ix < x1; ix++) m = max8nan(m, load8(a + ((int64_t)iy * o->w + ix) * 8));
					v8 left = load8(d);
					for (int iy = y0; iy < y1; iy++)
						for (int ix = x0; ix < x1; ix++) {
							int64_t at = ((int64_t)iy * o->w + ix) * 8;
							i8 hit = load8(a + at) == m;
							store8(b + at, load8(b + at) + (v8)(hit & (i8)left));
							left = (v8)(~hit & (i8)left);
						}
				}
		}
}
#endif
