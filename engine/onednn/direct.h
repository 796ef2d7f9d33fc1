// Convolutions for shapes that oneDNN leaves to its scalar reference code:
// maps smaller than the kernel's reach (the last stages of networks for small
// images) and the weight gradient of depthwise kernels beyond 3×3.
//
// Weights are in oneDNN's blocked layouts: [g][O/B][I/B][k][k][Bi][Bo] (B: lanes), for
// backward data with the two inner dimensions exchanged; depthwise [C/B][k][k][B].
#ifndef DIRECT_H
#define DIRECT_H
#include "ns.h"
#include "vec.h"
#include <string.h>

// The outputs (lo..hi-1) whose tap k of the kernel falls inside the input.
static void valid(int size, int out, int k, int stride, int pad, int *lo, int *hi) {
	int l = pad - k > 0 ? (pad - k + stride - 1) / stride : 0;
	int last = size - 1 + pad - k;
	int h = last < 0 ? 0 : last / stride + 1;
	*lo = l, *hi = h < out ? h : out;
}

// y += sum over the lanes of x times a row of w, for m images at once: the
// weights are loaded once for all of them.
INLINE void block_product(vf *acc, const float *const *x, const float *w, int m) {
	for (int i = 0; i < LANES; i++) {
		vf row = load(w + i * LANES);
		for (int k = 0; k < m; k++) acc[k] += splat(x[k][i]) * row;
	}
}

// One output block of m images: forward (data 0) or backward data (data 1),
// which differ in which positions meet and in the order of the weight blocks.
INLINE void product(const ns_shape *s, const float *in, const float *w, float *out, int n0, int m, int g, int ob, int data) {
	int k = s->kernel, pad = (k - 1) / 2, blocks = s->groups * LANES;
	int inb = (data ? s->oc : s->ic) / blocks, outb = (data ? s->ic : s->oc) / blocks;
	int inh = data ? s->oh : s->ih, inw = data ? s->ow : s->iw, oh = data ? s->ih : s->oh, ow = data ? s->iw : s->ow;
	int64_t in_image = (int64_t)inb * s->groups * inh * inw * LANES, out_image = (int64_t)outb * s->groups * oh * ow * LANES;
	for (int y = 0; y < oh; y++)
		for (int x = 0; x < ow; x++) {
			vf acc[4] = {splat(0), splat(0), splat(0), splat(0)};
			for (int ib = 0; ib < inb; ib++)
				for (int kh = 0; kh < k; kh++) {
					int iy = data ? y + pad - kh : y * s->stride + kh - pad;
					if (data && (iy < 0 || iy % s->stride)) continue;
					if (data) iy /= s->stride;
					if (iy < 0 || iy >= inh) continue;
					for (int kw = 0; kw < k; kw++) {
						int ix = data ? x + pad - kw : x * s->stride + kw - pad;
						if (data && (ix < 0 || ix % s->stride)) continue;
						if (data) ix /= s->stride;
						if (ix < 0 || ix >= inw) continue;
						int64_t wb = data ? ((int64_t)g * inb + ib) * outb + ob : ((int64_t)g * outb + ob) * inb + ib;
						const float *p[4];
						for (int i = 0; i < m; i++) p[i] = in + (n0 + i) * in_image + (((int64_t)(g * inb + ib) * inh + iy) * inw + ix) * LANES;
						block_product(acc, p, w + ((wb * k + kh) * k + kw) * (LANES * LANES), m);
					}
				}
			for (int i = 0; i < m; i++) store(out + (n0 + i) * out_image + (((int64_t)(g * outb + ob) * oh + y) * ow + x) * LANES, acc[i]);
		}
}

static void products(const ns_shape *s, const float *in, const float *w, float *out, int data) {
	int outb = (data ? s->ic : s->oc) / s->groups / LANES;
	for (int g = 0; g < s->groups; g++)
		for (int ob = 0; ob < outb; ob++) {
			int n = 0;
			for (; n + 4 <= s->n; n += 4) product(s, in, w, out, n, 4, g, ob, data);
			for (; n < s->n; n++) product(s, in, w, out, n, 1, g, ob, data);
		}
}

static void weights(const ns_shape *s, const float *x, const float *d, float *dw) {
	int k = s->kernel, pad = (k - 1) / 2, ib = s->ic / s->groups / LANES, ob = s->oc / s->groups / LANES;
	for (int g = 0; g < s->groups; g++)
		for (int o = 0; o < ob; o++)
			for (int i = 0; i < ib; i++)
				for (int kh = 0; kh < k; kh++)
					for (int kw = 0; kw < k; kw++, dw += LANES * LANES) {
						int y0, y1, x0, x1;
						valid(s->ih, s->oh, kh, s->stride, pad, &y0, &y1);
						valid(s->iw, s->ow, kw, s->stride, pad, &x0, &x1);
						// Eight input channels at a time: as many sums as fit the registers.
						for (int half = 0; half < LANES; half += 8) {
							vf a0 = splat(0), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
							for (int n = 0; n < s->n; n++)
								for (int y = y0; y < y1; y++) {
									const float *p = x + ((((int64_t)n * s->groups + g) * ib + i) * s->ih + y * s->stride + kh - pad) * s->iw * LANES;
									const float *q = d + ((((int64_t)n * s->groups + g) * ob + o) * s->oh + y) * s->ow * LANES;
									for (int c = x0; c < x1; c++) {
										const float *v = p + (c * s->stride + kw - pad) * LANES + half;
										vf t = load(q + c * LANES);
										a0 += splat(v[0]) * t, a1 += splat(v[1]) * t, a2 += splat(v[2]) * t, a3 += splat(v[3]) * t;
										a4 += splat(v[4]) * t, a5 += splat(v[5]) * t, a6 += splat(v[6]) * t, a7 += splat(v[7]) * t;
									}
								}
							float *out = dw + half * LANES;
							store(out, a0), store(out + LANES, a1), store(out + 2 * LANES, a2), store(out + 3 * LANES, a3);
							store(out + 4 * LANES, a4), store(out + 5 * LANES, a5), store(out + 6 * LANES, a6), store(out + 7 * LANES, a7);
						}
					}
}

// Depthwise forward and backward data: out is zeroed and every tap added.
static void depthwise(const ns_shape *s, float *src, const float *w, float *dst, int data) {
	int k = s->kernel, pad = (k - 1) / 2, cb = s->ic / LANES;
	memset(data ? src : dst, 0, sizeof(float) * s->n * s->ic * (data ? (int64_t)s->ih * s->iw : (int64_t)s->oh * s->ow));
	for (int64_t nc = 0; nc < (int64_t)s->n * cb; nc++)
		for (int kh = 0; kh < k; kh++)
			for (int kw = 0; kw < k; kw++) {
				int y0, y1, x0, x1;
				valid(s->ih, s->oh, kh, s->stride, pad, &y0, &y1);
				valid(s->iw, s->ow, kw, s->stride, pad, &x0, &x1);
				vf t = load(w + ((nc % cb * k + kh) * k + kw) * LANES);
				for (int y = y0; y < y1; y++) {
					float *p = src + ((nc * s->ih + y * s->stride + kh - pad) * s->iw + kw - pad) * LANES;
					float *q = dst + (nc * s->oh + y) * s->ow * LANES;
					for (int x = x0; x < x1; x++) {
						float *a = p + x * s->stride * LANES, *b = q + x * LANES;
						if (data) store(a, load(a) + load(b) * t);
						else store(b, load(b) + load(a) * t);
					}
				}
			}
}

static void depthwise_weights(const ns_shape *s, const float *src, const float *d, float *dw) {
	int k = s->kernel, pad = (k - 1) / 2, cb = s->ic / LANES;
	for (int c = 0; c < cb; c++)
		for (int kh = 0; kh < k; kh++)
			for (int kw = 0; kw < k; kw++, dw += LANES) {
				int y0, y1, x0, x1;
				valid(s->ih, s->oh, kh, s->stride, pad, &y0, &y1);
				valid(s->iw, s->ow, kw, s->stride, pad, &x0, &x1);
				vf a0 = splat(0), a1 = a0, a2 = a0, a3 = a0;
				for (int n = 0; n < s->n; n++)
					for (int y = y0; y < y1; y++) {
						const float *p = src + ((((int64_t)n * cb + c) * s->ih + y * s->stride + kh - pad) * s->iw + kw - pad) * LANES;
						const float *q = d + (((int64_t)n * cb + c) * s->oh + y) * s->ow * LANES;
						int x = x0, step = s->stride * LANES;
						for (; x + 4 <= x1; x += 4) {
							a0 += load(p + x * step) * load(q + x * LANES);
							a1 += load(p + (x + 1) * step) * load(q + (x + 1) * LANES);
							a2 += load(p + (x + 2) * step) * load(q + (x + 2) * LANES);
							a3 += load(p + (x + 3) * step) * load(q + (x + 3) * LANES);
						}
						for (; x < x1; x++) a0 += load(p + x * step) * load(q + x * LANES);
					}
				store(dw, (a0 + a1) + (a2 + a3));
			}
}

static void ns_direct(const ns_shape *s, int which, float *src, float *w, float *dst) {
	if (s->groups == s->ic) {
		if (which == 2) depthwise_weights(s, src, dst, w);
		else depthwise(s, src, w, dst, which);
		return;
	}
	switch (which) {
	case 0: products(s, src, w, dst, 0); break;
	case 1: products(s, dst, w, src, 1); break;
	case 2: weights(s, src, dst, w); break;
	}
}
#endif
