// The element-wise kernels, each over a chunk of n images. They wait for memory,
// so loops run over images first and channel blocks within, as the tensors lie
// in memory. A float sum takes at most FLUSH elements before it joins a
// double one, which bounds its rounding error near FLUSH/4 ulp.
#include "ops.h"
#include "vec.h"
#include <string.h>

#define FLUSH 1024

INLINE float *tile(view v, int i, int cb, int64_t hw) { return v.p + i * v.stride + cb * hw * LANES; }

// The same of a tensor that is kept for the backward pass, which may be bfloat16; half is a constant where these are inlined.
INLINE const void *kept(view v, int i, int cb, int64_t hw, int half) {
	return half ? (const void *)((const uint16_t *)(v.p + i * v.stride) + cb * hw * LANES) : (const void *)tile(v, i, cb, hw);
}
INLINE vf load_kept(const void *p, int64_t at, int half) { return half ? widen((const uint16_t *)p + at) : load((const float *)p + at); }
INLINE uint16_t *half_tile(view v, int i, int cb, int64_t hw) { return (uint16_t *)(v.p + i * v.stride) + cb * hw * LANES; }

INLINE vf chan(const float *base, int64_t off, int cb, float missing) {
	return off < 0 ? splat(missing) : load(base + off + cb * LANES);
}

// act(z), zero in padding lanes
INLINE vf value_of(vf z, int act, vf lanes) {
	z = act_of(z, act);
	return act == NS_SIGMOID ? z * lanes : z;
}

// y = act(s*x+t) * gate
INLINE void apply_u(const ns_op *o, const float *ar, view x, view y, view gate, int n, int act, int norm, int gated, int half) {
	int64_t hw = o->hw;
	for (int i = 0; i < n; i++) {
		for (int cb = 0; cb < o->blocks; cb++) {
			vf s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), lanes = chan(ar, o->lanes, cb, 1);
			const void *a = kept(x, i, cb, hw, half);
			float *b = tile(y, i, cb, hw);
			vf g = gated ? load(tile(gate, i, cb, 1)) : splat(1);
			for (int64_t p = 0; p < hw * LANES; p += LANES) {
				vf v = load_kept(a, p, half);
				if (norm) v = v * s + t;
				v = value_of(v, act, lanes);
				if (gated) v *= g;
				store(b + p, v);
			}
		}
	}
}

static void run_apply_u(const ns_op *o, const float *ar, view x, view y, view gate, int n) {
	int norm = o->s >= 0 || o->t >= 0;
#define CASE(A) \
	case A: \
		if (o->half) gate.p ? apply_u(o, ar, x, y, gate, n, A, 1, 1, 1) : apply_u(o, ar, x, y, gate, n, A, 1, 0, 1); \
		else if (gate.p) apply_u(o, ar, x, y, gate, n, A, 1, 1, 0); \
		else if (norm) apply_u(o, ar, x, y, gate, n, A, 1, 0, 0); \
		else apply_u(o, ar, x, y, gate, n, A, 0, 0, 0); \
		break;
	switch (o->act) { CASE(0) CASE(1) CASE(2) CASE(3) }
#undef CASE
}

// y = act(mask*(s*x+t) + (s2*r+t2)); of halves rounded, and kept in h
INLINE void apply_a(const ns_op *o, const float *ar, view x, view r, view mask, view y, view h, int n, int act, int norm2, int half) {
	int64_t hw = o->hw;
	for (int i = 0; i < n; i++) {
		for (int cb = 0; cb < o->blocks; cb++) {
			vf s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0);
			vf s2 = chan(ar, o->s2, cb, 1), t2 = chan(ar, o->t2, cb, 0), lanes = chan(ar, o->lanes, cb, 1);
			const void *a = kept(x, i, cb, hw, half), *c = kept(r, i, cb, hw, half);
			float *b = tile(y, i, cb, hw);
			uint16_t *k = half ? half_tile(h, i, cb, hw) : 0;
			vf m = mask.p ? splat(mask.p[i * mask.stride]) : splat(1);
			vf sm = s * m, tm = t * m;
			if (norm2) tm += t2;
			for (int64_t p = 0; p < hw * LANES; p += LANES) {
				vf w = load_kept(c, p, half), v = value_of(load_kept(a, p, half) * sm + tm + (norm2 ? w * s2 : w), act, lanes);
				if (half) v = rounded(v), store_rounded(k + p, v);
				store(b + p, v);
			}
		}
	}
}

static void run_apply_a(const ns_op *o, const float *ar, view x, view r, view mask, view y, view h, int n) {
	int norm2 = o->s2 >= 0 || o->t2 >= 0;
#define CASE(A) \
	case A: \
		if (o->half) norm2 ? apply_a(o, ar, x, r, mask, y, h, n, A, 1, 1) : apply_a(o, ar, x, r, mask, y, h, n, A, 0, 1); \
		else if (norm2) apply_a(o, ar, x, r, mask, y, h, n, A, 1, 0); \
		else apply_a(o, ar, x, r, mask, y, h, n, A, 0, 0); \
		break;
	switch (o->act) { CASE(0) CASE(1) CASE(2) CASE(3) }
#undef CASE
}

// The value at a position: of halves rounded, and kept.
INLINE vf keep(const float *a, uint16_t *b, int64_t p, int half) {
	vf v = load(a + p * LANES);
	if (half) v = rounded(v), store_rounded(b + p * LANES, v);
	return v;
}

// Sums of (x-pivot) and its square. acc: pivot[c], sum[c], square[c] per
// thread; the pivot is the thread's first element, so that a mean far from
// zero costs no digits of the variance.
INLINE void stats(const ns_op *o, double *acc, view x, view h, int n, int first, int half) {
	int64_t hw = o->hw, c = o->blocks * LANES;
	for (int cb = 0; cb < o->blocks; cb++) {
		double *pivot = acc + cb * LANES, *sum = acc + c + cb * LANES, *sq = acc + 2 * c + cb * LANES;
		if (first) {
			vf v = load(tile(x, 0, cb, hw));
			if (half) v = rounded(v); // differences of what has few digits have few, too, and their sums
			for (int k = 0; k < LANES; k++) pivot[k] = v[k], sum[k] = sq[k] = 0;
		}
		vf pv;
		for (int k = 0; k < LANES; k++) pv[k] = pivot[k];
		vf s0 = splat(0), s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
		int64_t since = 0;
		for (int i = 0; i < n; i++) {
			const float *a = tile(x, i, cb, hw);
			uint16_t *b = half ? half_tile(h, i, cb, hw) : 0;
			int64_t p = 0;
			while (p < hw) {
				int64_t end = hw - p > FLUSH ? p + FLUSH : hw;
				since += end - p;
				for (; p + 4 <= end; p += 4) {
					vf d0 = keep(a, b, p, half) - pv, d1 = keep(a, b, p + 1, half) - pv, d2 = keep(a, b, p + 2, half) - pv, d3 = keep(a, b, p + 3, half) - pv;
					s0 += d0, s1 += d1, s2 += d2, s3 += d3;
					q0 += d0 * d0, q1 += d1 * d1, q2 += d2 * d2, q3 += d3 * d3;
				}
				for (; p < end; p++) {
					vf d = keep(a, b, p, half) - pv;
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

static void run_stats(const ns_op *o, double *acc, view x, view h, int n, int first) {
	if (h.p) stats(o, acc, x, h, n, first, 1);
	else stats(o, acc, x, h, n, first, 0);
}

INLINE void pool(const ns_op *o, const float *ar, view x, view y, int n, int act, int half) {
	int64_t hw = o->hw;
	vf scale = splat(1.f / hw);
	for (int cb = 0; cb < o->blocks; cb++) {
		vf s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), lanes = chan(ar, o->lanes, cb, 1);
		for (int i = 0; i < n; i++) {
			const void *a = kept(x, i, cb, hw, half);
			vf sum = splat(0), sum1 = sum;
			int64_t p = 0;
			for (; p + 2 <= hw; p += 2) {
				sum += value_of(load_kept(a, p * LANES, half) * s + t, act, lanes);
				sum1 += value_of(load_kept(a, (p + 1) * LANES, half) * s + t, act, lanes);
			}
			for (; p < hw; p++) sum += value_of(load_kept(a, p * LANES, half) * s + t, act, lanes);
			store(tile(y, i, cb, 1), (sum + sum1) * scale);
		}
	}
}

static void run_pool(const ns_op *o, const float *ar, view x, view y, int n) {
#define CASE(A) \
	case A: o->half ? pool(o, ar, x, y, n, A, 1) : pool(o, ar, x, y, n, A, 0); break;
	switch (o->act) { CASE(0) CASE(1) CASE(2) CASE(3) }
#undef CASE
}

INLINE void dgate(const ns_op *o, const float *ar, view x, view g, view y, int n, int act, int half) {
	int64_t hw = o->hw;
	for (int cb = 0; cb < o->blocks; cb++) {
		vf s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), lanes = chan(ar, o->lanes, cb, 1);
		for (int i = 0; i < n; i++) {
			const void *a = kept(x, i, cb, hw, half);
			const float *d = tile(g, i, cb, hw);
			vf sum = splat(0), sum1 = sum;
			int64_t p = 0;
			for (; p + 2 <= hw; p += 2) {
				sum += load(d + p * LANES) * value_of(load_kept(a, p * LANES, half) * s + t, act, lanes);
				sum1 += load(d + (p + 1) * LANES) * value_of(load_kept(a, (p + 1) * LANES, half) * s + t, act, lanes);
			}
			for (; p < hw; p++) sum += load(d + p * LANES) * value_of(load_kept(a, p * LANES, half) * s + t, act, lanes);
			store(tile(y, i, cb, 1), sum + sum1);
		}
	}
}

static void run_dgate(const ns_op *o, const float *ar, view x, view g, view y, int n) {
#define CASE(A) \
	case A: o->half ? dgate(o, ar, x, g, y, n, A, 1) : dgate(o, ar, x, g, y, n, A, 0); break;
	switch (o->act) { CASE(0) CASE(1) CASE(2) CASE(3) }
#undef CASE
}

enum { G1 = 1, G2 = 2, G3 = 4, GATE = 8, BC = 16 };

// The gradient that arrives at a position: the sum of what the consumers sent.
INLINE vf arriving(int has, vf bc, vf gate, const float *g1, const float *g2, const float *g3, int64_t at) {
	vf g = bc;
	if (has & G1) g += load(g1 + at);
	if (has & G2) g += load(g2 + at);
	if (has & G3) g += has & GATE ? load(g3 + at) * gate : load(g3 + at);
	return g;
}

// Two sums of one channel block on their way from floats to doubles.
typedef struct {
	vf a, b;
} sums;

// Adds float sums to the double ones and begins again.
INLINE void flush(sums *f, double *a, double *b) {
	add_double(a, f->a), add_double(b, f->b);
	f->a = f->b = splat(0);
}

// Sums are taken strip by strip of channel blocks, images and then blocks within,
// so that memory is read in order while a strip's sums stay in the first-level cache.
#define STRIP 32

// Backward through y = act(s*x+t): the gradient before the activation, and its sums.
INLINE void pass_u(const ns_op *o, const float *ar, double *acc, view x, view y, sources q, int n, int first, int act, int has, int norm, int half) {
	int64_t hw = o->hw, c = o->blocks * LANES;
	vf area = splat(1.f / hw);
	if (norm && first) memset(acc, 0, 2 * c * sizeof *acc);
	for (int c0 = 0; c0 < o->blocks; c0 += STRIP) {
		int c1 = c0 + STRIP < o->blocks ? c0 + STRIP : o->blocks;
		sums part[STRIP];
		if (norm) memset(part, 0, sizeof part);
		int64_t since = 0;
		for (int i = 0; i < n; i++) {
			since += hw;
			for (int cb = c0; cb < c1; cb++) {
				vf s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), mean = chan(ar, o->mean, cb, 0);
				const void *a = x.p ? kept(x, i, cb, hw, half) : 0;
				const float *g1 = has & G1 ? tile(q.g1, i, cb, hw) : 0, *g2 = has & G2 ? tile(q.g2, i, cb, hw) : 0, *g3 = has & G3 ? tile(q.g3, i, cb, hw) : 0;
				float *b = tile(y, i, cb, hw);
				vf gate = has & GATE ? load(tile(q.gate, i, cb, 1)) : splat(1);
				vf bc = has & BC ? load(tile(q.bc, i, cb, 1)) * area : splat(0);
				for (int64_t p = 0; p < hw;) {
					int64_t end = hw - p > FLUSH ? p + FLUSH : hw;
					vf s0 = splat(0), p0 = s0;
					for (; p < end; p++) {
						vf g = arriving(has, bc, gate, g1, g2, g3, p * LANES);
						if (norm || act) {
							vf v = load_kept(a, p * LANES, half);
							g = dact(g, v * s + t, act);
							if (norm) s0 += g, p0 += g * (v - mean);
						}
						store(b + p * LANES, g);
					}
					if (norm) {
						part[cb - c0].a += s0, part[cb - c0].b += p0;
						if (since >= FLUSH) flush(&part[cb - c0], acc + cb * LANES, acc + c + cb * LANES);
					}
				}
			}
			if (since >= FLUSH) since = 0;
		}
		if (norm)
			for (int cb = c0; cb < c1; cb++) flush(&part[cb - c0], acc + cb * LANES, acc + c + cb * LANES);
	}
}

static void run_pass_u(const ns_op *o, const float *ar, double *acc, view x, view y, sources q, int n, int first) {
	int norm = o->acc >= 0;
	int has = (q.g1.p ? G1 : 0) | (q.g2.p ? G2 : 0) | (q.g3.p ? G3 : 0) | (q.gate.p ? GATE : 0) | (q.bc.p ? BC : 0);
	// Variants for what is common; beside an exponential a test more does not count.
#define ACT(A) \
	if (o->act == A && !o->half) { \
		if (norm && has == G1) pass_u(o, ar, acc, x, y, q, n, first, A, G1, 1, 0); \
		else if (norm && has == (G1 | G2)) pass_u(o, ar, acc, x, y, q, n, first, A, G1 | G2, 1, 0); \
		else if (norm && has == (G3 | GATE | BC)) pass_u(o, ar, acc, x, y, q, n, first, A, G3 | GATE | BC, 1, 0); \
		else if (norm && has == BC) pass_u(o, ar, acc, x, y, q, n, first, A, BC, 1, 0); \
		else pass_u(o, ar, acc, x, y, q, n, first, A, has, norm, 0); \
		return; \
	}
	ACT(0) ACT(1)
#undef ACT
	// Of halves those of a block's convolutions.
	if (o->half && norm && o->act == 1 && has == G1) pass_u(o, ar, acc, x, y, q, n, first, 1, G1, 1, 1);
	else if (o->half && norm && o->act == 1 && has == (G3 | GATE | BC)) pass_u(o, ar, acc, x, y, q, n, first, 1, G3 | GATE | BC, 1, 1);
	else if (o->half) pass_u(o, ar, acc, x, y, q, n, first, o->act, has, norm, 1);
	else pass_u(o, ar, acc, x, y, q, n, first, o->act, has, norm, 0);
}

// Through y = act(mask*norm(x) + norm2(r)): the gradient of the sum, and the
// sums for both norms.
INLINE void pass_a(const ns_op *o, const float *ar, double *acc, double *acc2, view x, view r, view out, view mask, view y, sources q, int n, int first, int act, int relu_y, int has, int norm, int norm2, int half) {
	int64_t hw = o->hw, c = o->blocks * LANES;
	vf area = splat(1.f / hw);
	if (first && norm) memset(acc, 0, 2 * c * sizeof *acc);
	if (first && norm2) memset(acc2, 0, 2 * c * sizeof *acc2);
	for (int c0 = 0; c0 < o->blocks; c0 += STRIP) {
		int c1 = c0 + STRIP < o->blocks ? c0 + STRIP : o->blocks;
		sums part[STRIP], part2[STRIP];
		memset(part, 0, sizeof part), memset(part2, 0, sizeof part2);
		int64_t since = 0;
		for (int i = 0; i < n; i++) {
			since += hw;
			vf m = mask.p ? splat(mask.p[i * mask.stride]) : splat(1);
			for (int cb = c0; cb < c1; cb++) {
				vf s = chan(ar, o->s, cb, 1), t = chan(ar, o->t, cb, 0), mean = chan(ar, o->mean, cb, 0);
				vf s2 = chan(ar, o->s2, cb, 1), t2 = chan(ar, o->t2, cb, 0), mean2 = chan(ar, o->mean2, cb, 0);
				const void *xa = kept(x, i, cb, hw, half), *ra = r.p ? kept(r, i, cb, hw, half) : 0, *oa = relu_y ? kept(out, i, cb, hw, half) : 0;
				const float *g1 = has & G1 ? tile(q.g1, i, cb, hw) : 0, *g2 = has & G2 ? tile(q.g2, i, cb, hw) : 0, *g3 = has & G3 ? tile(q.g3, i, cb, hw) : 0;
				float *b = tile(y, i, cb, hw);
				vf gate = has & GATE ? load(tile(q.gate, i, cb, 1)) : splat(1);
				vf bc = has & BC ? load(tile(q.bc, i, cb, 1)) * area : splat(0);
				for (int64_t p = 0; p < hw;) {
					int64_t end = hw - p > FLUSH ? p + FLUSH : hw;
					vf a0 = splat(0), a1 = a0, b1 = a0;
					for (; p < end; p++) {
						vf g = arriving(has, bc, gate, g1, g2, g3, p * LANES);
						vf v = load_kept(xa, p * LANES, half), w = norm2 ? load_kept(ra, p * LANES, half) : splat(0);
						if (relu_y) g = dact(g, load_kept(oa, p * LANES, half), 1);
						else if (act) {
							vf z = (v * s + t) * m;
							if (r.p) z += (norm2 ? w : load_kept(ra, p * LANES, half)) * s2 + t2;
							g = dact(g, z, act);
						}
						a0 += g;
						if (norm) a1 += g * (v - mean);
						if (norm2) b1 += g * (w - mean2);
						store(b + p * LANES, g);
					}
					if (norm) {
						part[cb - c0].a += a0 * m, part[cb - c0].b += a1 * m;
						if (since >= FLUSH) flush(&part[cb - c0], acc + cb * LANES, acc + c + cb * LANES);
					}
					if (norm2) {
						part2[cb - c0].a += a0, part2[cb - c0].b += b1;
						if (since >= FLUSH) flush(&part2[cb - c0], acc2 + cb * LANES, acc2 + c + cb * LANES);
					}
				}
			}
			if (since >= FLUSH) since = 0;
		}
		for (int cb = c0; cb < c1; cb++) {
			if (norm) flush(&part[cb - c0], acc + cb * LANES, acc + c + cb * LANES);
			if (norm2) flush(&part2[cb - c0], acc2 + cb * LANES, acc2 + c + cb * LANES);
		}
	}
}

static void run_pass_a(const ns_op *o, const float *ar, double *acc, double *acc2, view x, view r, view out, view mask, view y, sources q, int n, int first) {
	int norm = o->acc >= 0, norm2 = o->acc2 >= 0;
	int has = (q.g1.p ? G1 : 0) | (q.g2.p ? G2 : 0) | (q.g3.p ? G3 : 0) | (q.gate.p ? GATE : 0) | (q.bc.p ? BC : 0);
#define PASS(A, Y, S, M, H) pass_a(o, ar, acc, acc2, x, r, out, mask, y, q, n, first, A, Y, S, 1, M, H)
#define HAS(S, M, H) \
	if (norm && has == (S) && norm2 == M && o->half == H) { \
		if (o->relu_y) { PASS(1, 1, S, M, H); return; } \
		if (o->act == 0) { PASS(0, 0, S, M, H); return; } \
	}
	HAS(G1, 0, 0) HAS(G1 | G2, 0, 0) HAS(BC, 0, 0)
	HAS(G1, 1, 0) HAS(G1 | G2, 1, 0) HAS(BC, 1, 0)
	HAS(G1 | G2, 0, 1) HAS(G1 | G2, 1, 1) // halves: between two blocks
#undef HAS
#undef PASS
	if (o->half) pass_a(o, ar, acc, acc2, x, r, out, mask, y, q, n, first, o->act, o->relu_y, has, norm, norm2, 1);
	else pass_a(o, ar, acc, acc2, x, r, out, mask, y, q, n, first, o->act, o->relu_y, has, norm, norm2, 0);
}

// y = k1*mask*g + k2*x + k3
INLINE void pass_b(const ns_op *o, const float *ar, view g, view x, view mask, view y, int n, int half) {
	int64_t hw = o->hw;
	for (int i = 0; i < n; i++) {
		for (int cb = 0; cb < o->blocks; cb++) {
			vf k1 = chan(ar, o->k1, cb, 1), k2 = chan(ar, o->k2, cb, 0), k3 = chan(ar, o->k3, cb, 0);
			const float *a = tile(g, i, cb, hw);
			float *b = tile(y, i, cb, hw);
			vf k = mask.p ? k1 * splat(mask.p[i * mask.stride]) : k1;
			if (o->k2 < 0) {
				for (int64_t p = 0; p < hw * LANES; p += LANES) store(b + p, load(a + p) * k);
				continue;
			}
			const void *v = kept(x, i, cb, hw, half);
			for (int64_t p = 0; p < hw * LANES; p += LANES) store(b + p, load(a + p) * k + (load_kept(v, p, half) * k2 + k3));
		}
	}
}

static void run_pass_b(const ns_op *o, const float *ar, view g, view x, view mask, view y, int n) {
	if (o->half) pass_b(o, ar, g, x, mask, y, n, 1);
	else pass_b(o, ar, g, x, mask, y, n, 0);
}

static void run_mul(const ns_op *o, view x, view r, view y, int n) {
	int64_t record = (int64_t)o->blocks * o->hw * LANES;
	for (int i = 0; i < n; i++)
		for (int64_t p = 0; p < record; p += LANES)
			store(tile(y, i, 0, 0) + p, load(tile(x, i, 0, 0) + p) * load(tile(r, i, 0, 0) + p));
}

static void run_narrow(const ns_op *o, view x, view y, view h, int n) {
	int64_t record = (int64_t)o->blocks * o->hw * LANES;
	for (int i = 0; i < n; i++)
		for (int64_t p = 0; p < record; p += LANES) {
			vf v = rounded(load(tile(x, i, 0, 0) + p));
			store_rounded(half_tile(h, i, 0, 0) + p, v);
			store(tile(y, i, 0, 0) + p, v);
		}
}

static void run_widen(const ns_op *o, view x, view y, int n) {
	int64_t record = (int64_t)o->blocks * o->hw * LANES;
	for (int i = 0; i < n; i++)
		for (int64_t p = 0; p < record; p += LANES) store(tile(y, i, 0, 0) + p, widen(half_tile(x, i, 0, 0) + p));
}

// The window of output row oy: input rows [lo, hi).
#define WINDOW(lo, hi, o_, size) \
	int lo = (o_) * s - pad, hi = lo + k; \
	if (lo < 0) lo = 0; \
	if (hi > (size)) hi = (size);

static void run_max_f(const ns_op *o, view x, view y, int n) {
	ns_window p = o->of.window;
	int k = p.kernel, s = p.stride, pad = p.pad;
	for (int i = 0; i < n; i++)
		for (int cb = 0; cb < o->blocks; cb++) {
			const float *a = tile(x, i, cb, o->hw);
			float *b = tile(y, i, cb, (int64_t)p.oh * p.ow);
			for (int oy = 0; oy < p.oh; oy++)
				for (int ox = 0; ox < p.ow; ox++, b += LANES) {
					WINDOW(y0, y1, oy, p.h)
					WINDOW(x0, x1, ox, p.w)
					vf m = load(a + ((int64_t)y0 * p.w + x0) * LANES);
					for (int iy = y0; iy < y1; iy++)
						for (int ix = x0; ix < x1; ix++) m = max_nan(m, load(a + ((int64_t)iy * p.w + ix) * LANES));
					store(b, m);
				}
		}
}

// The gradient goes to the first maximum in row-major order, as in PyTorch.
static void run_max_b(const ns_op *o, view x, view g, view y, int n) {
	ns_window p = o->of.window;
	int k = p.kernel, s = p.stride, pad = p.pad;
	for (int i = 0; i < n; i++)
		for (int cb = 0; cb < o->blocks; cb++) {
			const float *a = tile(x, i, cb, o->hw), *d = tile(g, i, cb, (int64_t)p.oh * p.ow);
			float *b = tile(y, i, cb, o->hw);
			memset(b, 0, (size_t)o->hw * LANES * sizeof *b);
			for (int oy = 0; oy < p.oh; oy++)
				for (int ox = 0; ox < p.ow; ox++, d += LANES) {
					WINDOW(y0, y1, oy, p.h)
					WINDOW(x0, x1, ox, p.w)
					vf m = load(a + ((int64_t)y0 * p.w + x0) * LANES);
					for (int iy = y0; iy < y1; iy++)
						for (int ix = x0; ix < x1; ix++) m = max_nan(m, load(a + ((int64_t)iy * p.w + ix) * LANES));
					vf left = load(d);
					for (int iy = y0; iy < y1; iy++)
						for (int ix = x0; ix < x1; ix++) {
							int64_t at = ((int64_t)iy * p.w + ix) * LANES;
							vi hit = load(a + at) == m;
							store(b + at, load(b + at) + (vf)(hit & (vi)left));
							left = (vf)(~hit & (vi)left);
						}
				}
		}
}

// What an average pooling divides the sum of output o_'s window by along one side.
#define COUNT(o_, size) ((o_) * s - pad + k < (size) + pad ? k : (size) + 2 * pad - (o_) * s)

static void run_avg_f(const ns_op *o, view x, view y, int n) {
	ns_window p = o->of.window;
	int k = p.kernel, s = p.stride, pad = p.pad;
	for (int i = 0; i < n; i++)
		for (int cb = 0; cb < o->blocks; cb++) {
			const float *a = tile(x, i, cb, o->hw);
			float *b = tile(y, i, cb, (int64_t)p.oh * p.ow);
			for (int oy = 0; oy < p.oh; oy++)
				for (int ox = 0; ox < p.ow; ox++, b += LANES) {
					WINDOW(y0, y1, oy, p.h)
					WINDOW(x0, x1, ox, p.w)
					vf sum = splat(0);
					for (int iy = y0; iy < y1; iy++)
						for (int ix = x0; ix < x1; ix++) sum += load(a + ((int64_t)iy * p.w + ix) * LANES);
					store(b, sum * splat(1.f / (COUNT(oy, p.h) * COUNT(ox, p.w))));
				}
		}
}

static void run_avg_b(const ns_op *o, view g, view y, int n) {
	ns_window p = o->of.window;
	int k = p.kernel, s = p.stride, pad = p.pad;
	for (int i = 0; i < n; i++)
		for (int cb = 0; cb < o->blocks; cb++) {
			const float *d = tile(g, i, cb, (int64_t)p.oh * p.ow);
			float *b = tile(y, i, cb, o->hw);
			memset(b, 0, (size_t)o->hw * LANES * sizeof *b);
			for (int oy = 0; oy < p.oh; oy++)
				for (int ox = 0; ox < p.ow; ox++, d += LANES) {
					WINDOW(y0, y1, oy, p.h)
					WINDOW(x0, x1, ox, p.w)
					vf share = load(d) * splat(1.f / (COUNT(oy, p.h) * COUNT(ox, p.w)));
					for (int iy = y0; iy < y1; iy++)
						for (int ix = x0; ix < x1; ix++) {
							float *at = b + ((int64_t)iy * p.w + ix) * LANES;
							store(at, load(at) + share);
						}
				}
		}
}

static void run_fold(const ns_op *o, view x, view y, int n) {
	int parts = o->of.parts.parts;
	int64_t part = (int64_t)o->blocks / parts * o->hw * LANES;
	for (int i = 0; i < n; i++) {
		const float *a = tile(x, i, 0, 0);
		float *b = tile(y, i, 0, 0);
		for (int64_t p = 0; p < part; p += LANES) {
			vf sum = load(a + p);
			for (int j = 1; j < parts; j++) sum += load(a + j * part + p);
			store(b + p, sum);
		}
	}
}

static void run_unfold(const ns_op *o, view g, view y, int n) {
	int parts = o->of.parts.parts;
	int64_t part = (int64_t)o->blocks / parts * o->hw * LANES;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < parts; j++) memcpy(tile(y, i, 0, 0) + j * part, tile(g, i, 0, 0), part * sizeof(float));
}

// Where the channels of a softmax are in a record: at[part][channel] of the input, then of the output.
INLINE vf gather(const float *p, const int32_t *at) {
	vf v;
	for (int k = 0; k < LANES; k++) v[k] = p[at[k]];
	return v;
}
INLINE void scatter(float *p, const int32_t *at, vf v) {
	for (int k = 0; k < LANES; k++) p[at[k]] = v[k];
}

static void run_softmax_f(const ns_op *o, const float *ar, view x, view y, int n) {
	int parts = o->of.parts.parts, channels = o->of.parts.channels;
	const int32_t *in = (const int32_t *)(ar + o->lanes), *out = in + (int64_t)parts * channels;
	for (int i = 0; i < n; i++) {
		memset(tile(y, i, 0, 0), 0, (size_t)y.stride * sizeof(float));
		for (int64_t p = 0; p < o->hw; p++) {
			const float *a = tile(x, i, 0, 0) + p * LANES;
			float *b = tile(y, i, 0, 0) + p * LANES;
			for (int c = 0; c < channels; c += LANES) {
				vf top = gather(a, in + c), sum = splat(0);
				for (int j = 1; j < parts; j++) top = max_nan(top, gather(a, in + j * channels + c));
				for (int j = 0; j < parts; j++) {
					vf e = exponential(gather(a, in + j * channels + c) - top);
					sum += e;
					scatter(b, out + j * channels + c, e);
				}
				for (int j = 0; j < parts; j++) scatter(b, out + j * channels + c, gather(b, out + j * channels + c) / sum);
			}
		}
	}
}

static void run_softmax_b(const ns_op *o, const float *ar, view v, view g, view y, int n) {
	int parts = o->of.parts.parts, channels = o->of.parts.channels;
	const int32_t *in = (const int32_t *)(ar + o->lanes), *out = in + (int64_t)parts * channels;
	for (int i = 0; i < n; i++) {
		memset(tile(y, i, 0, 0), 0, (size_t)o->blocks * o->hw * LANES * sizeof(float));
		for (int64_t p = 0; p < o->hw; p++) {
			const float *s = tile(v, i, 0, 0) + p * LANES, *d = tile(g, i, 0, 0) + p * LANES;
			float *b = tile(y, i, 0, 0) + p * LANES;
			for (int c = 0; c < channels; c += LANES) {
				vf mean = splat(0);
				for (int j = 0; j < parts; j++) mean += gather(s, out + j * channels + c) * gather(d, out + j * channels + c);
				for (int j = 0; j < parts; j++) {
					const int32_t *at = out + j * channels + c;
					scatter(b, in + j * channels + c, gather(s, at) * (gather(d, at) - mean));
				}
			}
		}
	}
}

const ns_kernels KERNELS = {
	run_apply_u, run_apply_a, run_stats, run_pool, run_dgate, run_pass_u, run_pass_a, run_pass_b, run_mul, run_narrow, run_widen, run_max_f, run_max_b,
	run_avg_f, run_avg_b, run_fold, run_unfold, run_softmax_f, run_softmax_b,
};
