// 1×1 convolutions as products of pointwise.h: loops over images and vectors of
// channels. Strides are dealt with by picking the positions that count.
#define LANES 8
#include "ops.h"
#include "vec.h"
#include <string.h>

// Copies the positions that a stride picks: between the map and a compact one.
static void pick_positions(const ns_shape *s, float *map, float *compact, int blocks, int back) {
	for (int b = 0; b < blocks; b++)
		for (int y = 0; y < s->oh; y++)
			for (int x = 0; x < s->ow; x++) {
				float *m = map + (((int64_t)b * s->ih + y * s->stride) * s->iw + x * s->stride) * s->block;
				float *c = compact + (((int64_t)b * s->oh + y) * s->ow + x) * s->block;
				for (int i = 0; i < s->block; i += LANES) {
					if (back) store(m + i, load(c + i));
					else store(c + i, load(m + i));
				}
			}
}

int64_t ns_pointwise_scratch(const ns_shape *s) {
	return s->stride == 1 ? 0 : (int64_t)s->n * s->ic * s->oh * s->ow * sizeof(float);
}

void ns_pointwise_exec(const ns_shape *s, int which, float *src, float *w, float *dst, float *scratch) {
	const ns_convs *vector = s->block == 16 ? &ns_wide16 : &ns_wide8x2, *last = s->block == 16 ? &ns_wide16 : &ns_wide8;
	const int step = 16 / s->block; // blocks to a vector
	const int ib = s->ic / s->block, ob = s->oc / s->block;
	const int64_t in = (int64_t)s->ih * s->iw * s->block, out = (int64_t)s->oh * s->ow * s->block, ww = s->block * s->block;
	const int64_t map = s->stride == 1 ? in : out; // of an input block that the products see
	ns_pointwise p = {.positions = s->oh * s->ow, .images = s->n};
	if (which < 2) {
		const int from = which ? ob : ib, to = which ? ib : ob;
		for (int n = 0; n < s->n; n++) {
			float *x = src + n * ib * in, *y = dst + n * ob * out, *picked = x;
			if (s->stride > 1) {
				picked = scratch;
				if (which == 0) pick_positions(s, x, picked, ib, 0);
			}
			p.x = which ? y : picked, p.in_blocks = from, p.x_block = which ? out : map;
			float *to_map = which ? picked : y;
			p.y_next = which ? map : out;
			p.w_block = which ? ib * ww : ww, p.w_next = which ? ww : ib * ww;
			for (int b = 0; b < to; b += step) {
				p.w = w + b * p.w_next, p.y = to_map + b * p.y_next;
				(b + step <= to ? vector : last)->product(&p);
			}
			if (s->stride > 1 && which == 1) {
				memset(x, 0, ib * in * sizeof(float));
				pick_positions(s, x, picked, ib, 1);
			}
		}
		return;
	}
	float *x = src;
	if (s->stride > 1) {
		x = scratch;
		for (int n = 0; n < s->n; n++) pick_positions(s, src + n * ib * in, x + n * ib * map, ib, 0);
	}
	const int most = s->block == 16 ? 1 : 3; // input blocks whose sums fit the registers
	p.x_block = map, p.x_image = ib * map, p.y_image = ob * out, p.y_next = out, p.w_block = ww, p.w_next = ib * ww;
	for (int i = 0; i < ib; i += most)
		for (int o = 0; o < ob; o += step) {
			p.in_blocks = ib - i < most ? ib - i : most;
			p.x = x + i * map, p.y = dst + o * out, p.dw = w + o * p.w_next + i * p.w_block;
			(o + step <= ob ? vector : last)->gradient(&p);
		}
}
