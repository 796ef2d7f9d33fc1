// oneDNN 2.x convolutions. These are the only calls into oneDNN besides
// dnnl_sgemm in run.c, so that a port to 3.x touches this file.
#include "ops.h"
#include "library.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ns_engine {
	dnnl_engine_t engine;
};

enum { FWD = NS_FORWARD, BWD_D = NS_DATA, BWD_W = NS_WEIGHTS };

struct ns_conv {
	dnnl_engine_t engine;
	dnnl_primitive_t prim[3];
	dnnl_primitive_desc_t pd[3];
	dnnl_primitive_t reorder_d, reorder_w; // forward -> backward data; backward weights -> forward
	int threads;
	dnnl_stream_t *stream;                       // one per thread
	dnnl_memory_t *src, *dst, *w[3], *scratch[3]; // one per thread
	dnnl_memory_desc_t plain, weights[3]; // layouts of the weights
	ns_shape shape;
	int tiled;     // all by tile.h, without anything of oneDNN
	ns_tile tiles[3];
	char tile[3][24]; // their names
	dnnl_memory_t *bias; // of a fused kernel, one per thread
};

ns_engine *ns_engine_new(int *status) {
	ns_engine *e = ns_calloc(1, sizeof *e);
	if (!e) {
		*status = dnnl_out_of_memory;
		return NULL;
	}
	*status = dnnl.engine_create(&e->engine, dnnl_cpu, 0);
	// Populations compile thousands of networks: bound what the library keeps.
	if (!*status) *status = dnnl.set_primitive_cache_capacity(256);
	return e;
}

void ns_version(int *major, int *minor, int *patch, int *isa) {
	const dnnl_version_t *v = dnnl.version();
	*major = v->major, *minor = v->minor, *patch = v->patch;
	*isa = dnnl.get_effective_cpu_isa();
}

const char *ns_status(int s) {
	switch (s) {
	case dnnl_out_of_memory: return "out of memory";
	case dnnl_invalid_arguments: return "invalid arguments";
	case dnnl_unimplemented: return "unimplemented";
	case dnnl_runtime_error: return "runtime error";
	case dnnl_not_required: return "not required";
	}
	return "unknown status";
}

static const dnnl_memory_desc_t *query(dnnl_primitive_desc_t pd, dnnl_query_t q) {
	return dnnl.primitive_desc_query_md(pd, q, 0);
}

#define TRY(step, call) \
	do { \
		*what = step; \
		if ((*status = (call))) goto fail; \
	} while (0)

static void describe_tiles(struct ns_conv *c, const int *wanted, ns_conv_info *info) {
	const ns_shape *s = &c->shape;
	c->tiled = 1;
	for (int k = 0; k < 3; k++) {
		if (!wanted[k]) continue;
		ns_tile t = c->tiles[k] = ns_tile_choice(s, k);
		snprintf(c->tile[k], sizeof c->tile[k], t.images > 1 ? "tile %dx%dx%d" : "tile %dx%d", t.vectors, t.positions, t.images);
		info->impl[k] = c->tile[k];
	}
	info->wf = info->ww = sizeof(float) * ns_tile_weights(s, FWD);
	info->wd = wanted[BWD_D] ? sizeof(float) * ns_tile_weights(s, BWD_D) : 0;
	info->same_d = !wanted[BWD_D], info->same_w = info->adds = 1;
	info->scratch = ns_tile_scratch(s);
	info->fused = s->fuse;
}

// A forward kernel that adds the bias, adds what is there and applies the activation, if oneDNN has a fast one.
static int describe_fused(struct ns_conv *c, const dnnl_memory_desc_t *src, const dnnl_memory_desc_t *w, const dnnl_memory_desc_t *dst,
	dnnl_dims_t strides, dnnl_dims_t lo, dnnl_dims_t hi, ns_conv_info *info) {
	static const dnnl_alg_kind_t activations[] = {dnnl_alg_kind_undef, dnnl_eltwise_relu, dnnl_eltwise_swish, dnnl_eltwise_logistic};
	const ns_shape *s = &c->shape;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_post_ops_t ops = NULL;
	dnnl_convolution_desc_t d;
	dnnl_memory_desc_t bias;
	dnnl_dims_t dims = {s->oc};
	float one = s->act == NS_SILU; // its slope
	int ok = !dnnl.primitive_attr_create(&attr) && !dnnl.primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) &&
		!dnnl.post_ops_create(&ops) && (!s->sum || !dnnl.post_ops_append_sum(ops, 1)) &&
		(!s->act || !dnnl.post_ops_append_eltwise(ops, 1, activations[s->act], one, 0)) && !dnnl.primitive_attr_set_post_ops(attr, ops) &&
		!dnnl.memory_desc_init_by_tag(&bias, 1, dims, dnnl_f32, dnnl_a) &&
		!dnnl.convolution_forward_desc_init(&d, dnnl_forward_inference, dnnl_convolution_direct, src, w, s->bias ? &bias : NULL, dst, strides, lo, hi) &&
		!dnnl.primitive_desc_create(&c->pd[FWD], &d, attr, c->engine, NULL);
	if (ok) {
		dnnl.primitive_desc_query(c->pd[FWD], dnnl_query_impl_info_str, 0, &info->impl[FWD]);
		ok = strncmp(info->impl[FWD], "jit", 3) == 0;
		if (!ok) dnnl.primitive_desc_destroy(c->pd[FWD]), c->pd[FWD] = NULL;
	}
	if (ops) dnnl.post_ops_destroy(ops);
	if (attr) dnnl.primitive_attr_destroy(attr);
	return ok;
}

// Lets oneDNN choose kernels and the layouts of their weights.
static void describe(struct ns_conv *c, const dnnl_memory_desc_t *src, const dnnl_memory_desc_t *w, const dnnl_memory_desc_t *dst,
	dnnl_dims_t strides, dnnl_dims_t lo, dnnl_dims_t hi, ns_conv_info *info, const char **what, int *status) {
	const ns_shape *s = &c->shape;
	dnnl_convolution_desc_t d;
	dnnl_primitive_attr_t attr = NULL;
	TRY("attributes", dnnl.primitive_attr_create(&attr));
	TRY("attributes", dnnl.primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
	info->fused = s->fuse && describe_fused(c, src, w, dst, strides, lo, hi, info);
	if (!info->fused) {
		TRY("forward", dnnl.convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct, src, w, NULL, dst, strides, lo, hi));
		TRY("forward", dnnl.primitive_desc_create(&c->pd[FWD], &d, attr, c->engine, NULL));
	}
	if (s->backward >= 1) {
		TRY("backward weights", dnnl.convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, src, w, NULL, dst, strides, lo, hi));
		TRY("backward weights", dnnl.primitive_desc_create(&c->pd[BWD_W], &d, attr, c->engine, c->pd[FWD]));
	}
	if (s->backward >= 2) {
		TRY("backward data", dnnl.convolution_backward_data_desc_init(&d, dnnl_convolution_direct, src, w, dst, strides, lo, hi));
		TRY("backward data", dnnl.primitive_desc_create(&c->pd[BWD_D], &d, attr, c->engine, c->pd[FWD]));
	}
	for (int k = 0; k < 3; k++) {
		if (!c->pd[k]) continue;
		dnnl.primitive_desc_query(c->pd[k], dnnl_query_impl_info_str, 0, &info->impl[k]);
		c->weights[k] = *query(c->pd[k], k == BWD_W ? dnnl_query_diff_weights_md : dnnl_query_weights_md);
	}
fail:
	if (attr) dnnl.primitive_attr_destroy(attr);
}

// What oneDNN does better than tiles: depthwise convolutions of a lone image on blocks of 8, for which it has wide vectors.
static int of_onednn(const ns_shape *s) { return s->width == 1 && s->wide && s->block == 8 && s->n == 1; }

// Whether oneDNN has only reference code for a pass.
static int scalar(const ns_conv_info *info) {
	for (int k = 0; k < 3; k++)
		if (strncmp(info->impl[k], "ref", 3) == 0) return 1;
	return 0;
}

struct ns_conv *ns_conv_new(ns_engine *e, const ns_shape *s, ns_conv_info *info, const char **what, int *status) {
	int before = ns_teams(1); // a primitive fixes its number of threads when it is made
	struct ns_conv *c = ns_calloc(1, sizeof *c);
	TRY("memory", c ? dnnl_success : dnnl_out_of_memory);
	c->engine = e->engine;
	c->threads = s->threads;
	c->shape = *s;
	info->impl[FWD] = info->impl[BWD_D] = info->impl[BWD_W] = "";
	info->fused = 0;
	const int wanted[3] = {1, s->backward >= 2, s->backward >= 1};
	if (!of_onednn(s)) {
		describe_tiles(c, wanted, info);
		ns_teams(before);
		return c;
	}
	dnnl_dims_t src_dims = {s->n, s->ic, s->ih, s->iw}, dst_dims = {s->n, s->oc, s->oh, s->ow};
	dnnl_dims_t w5 = {s->groups, s->oc / s->groups, s->ic / s->groups, s->kernel, s->kernel};
	dnnl_dims_t strides = {s->stride, s->stride};
	int pad = (s->kernel - 1) / 2;
	dnnl_dims_t lo = {pad, pad}, hi = {(s->oh - 1) * s->stride + s->kernel - s->ih - pad, (s->ow - 1) * s->stride + s->kernel - s->iw - pad};
	dnnl_format_tag_t blocked = s->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
	dnnl_memory_desc_t src, dst, w;
	TRY("source layout", dnnl.memory_desc_init_by_tag(&src, 4, src_dims, dnnl_f32, blocked));
	TRY("destination layout", dnnl.memory_desc_init_by_tag(&dst, 4, dst_dims, dnnl_f32, blocked));
	TRY("weights layout", dnnl.memory_desc_init_by_tag(&w, 5, w5, dnnl_f32, dnnl_format_tag_any));
	TRY("weights layout", dnnl.memory_desc_init_by_tag(&c->plain, 5, w5, dnnl_f32, dnnl_goihw));
	describe(c, &src, &w, &dst, strides, lo, hi, info, what, status);
	if (*status) goto fail;
	if (scalar(info)) {
		describe_tiles(c, wanted, info);
		ns_teams(before);
		return c;
	}
	info->wf = dnnl.memory_desc_get_size(&c->weights[FWD]);
	info->wd = wanted[BWD_D] ? dnnl.memory_desc_get_size(&c->weights[BWD_D]) : 0;
	info->ww = wanted[BWD_W] ? dnnl.memory_desc_get_size(&c->weights[BWD_W]) : 0;
	info->same_d = !wanted[BWD_D] || dnnl.memory_desc_equal(&c->weights[FWD], &c->weights[BWD_D]);
	info->same_w = !wanted[BWD_W] || dnnl.memory_desc_equal(&c->weights[FWD], &c->weights[BWD_W]);
	info->scratch = 0;
	size_t n = s->threads;
	c->stream = ns_calloc(n, sizeof *c->stream);
	c->src = ns_calloc(n, sizeof *c->src);
	c->dst = ns_calloc(n, sizeof *c->dst);
	TRY("memory", c->stream && c->src && c->dst ? dnnl_success : dnnl_out_of_memory);
	for (size_t t = 0; t < n; t++) {
		TRY("stream", dnnl.stream_create(&c->stream[t], e->engine, dnnl_stream_default_flags));
		TRY("memory", dnnl.memory_create(&c->src[t], &src, e->engine, DNNL_MEMORY_NONE));
		TRY("memory", dnnl.memory_create(&c->dst[t], &dst, e->engine, DNNL_MEMORY_NONE));
	}
	if (info->fused && s->bias) {
		dnnl_memory_desc_t bias;
		dnnl_dims_t dims = {s->oc};
		TRY("memory", dnnl.memory_desc_init_by_tag(&bias, 1, dims, dnnl_f32, dnnl_a));
		c->bias = ns_calloc(n, sizeof *c->bias);
		TRY("memory", c->bias ? dnnl_success : dnnl_out_of_memory);
		for (size_t t = 0; t < n; t++) TRY("memory", dnnl.memory_create(&c->bias[t], &bias, e->engine, DNNL_MEMORY_NONE));
	}
	static const char *const names[] = {"forward", "backward data", "backward weights"};
	for (int k = 0; k < 3; k++) {
		if (!wanted[k]) continue;
		c->w[k] = ns_calloc(n, sizeof *c->w[k]);
		TRY("memory", c->w[k] ? dnnl_success : dnnl_out_of_memory);
		for (size_t t = 0; t < n; t++) TRY("memory", dnnl.memory_create(&c->w[k][t], &c->weights[k], e->engine, DNNL_MEMORY_NONE));
		TRY(names[k], dnnl.primitive_create(&c->prim[k], c->pd[k]));
		const dnnl_memory_desc_t *sp = query(c->pd[k], dnnl_query_scratchpad_md);
		int64_t bytes = dnnl.memory_desc_get_size(sp);
		if (bytes > info->scratch) info->scratch = bytes;
		c->scratch[k] = ns_calloc(n, sizeof *c->scratch[k]);
		TRY("memory", c->scratch[k] ? dnnl_success : dnnl_out_of_memory);
		for (size_t t = 0; t < n; t++) TRY("memory", dnnl.memory_create(&c->scratch[k][t], sp, e->engine, DNNL_MEMORY_NONE));
	}
	for (int k = 1; k < 3; k++) {
		if (!wanted[k] || (k == BWD_D ? info->same_d : info->same_w)) continue;
		dnnl_primitive_desc_t rpd;
		const dnnl_memory_desc_t *from = &c->weights[k == BWD_D ? FWD : k], *to = &c->weights[k == BWD_D ? k : FWD];
		TRY("reorder", dnnl.reorder_primitive_desc_create(&rpd, from, e->engine, to, e->engine, NULL));
		*status = dnnl.primitive_create(k == BWD_D ? &c->reorder_d : &c->reorder_w, rpd);
		dnnl.primitive_desc_destroy(rpd);
		if (*status) goto fail;
	}
	ns_teams(before);
	return c;
fail:
	ns_conv_free(c);
	ns_teams(before);
	return NULL;
}

void ns_conv_free(struct ns_conv *c) {
	if (!c) return;
	for (int t = 0; t < c->threads; t++) {
		if (c->src && c->src[t]) dnnl.memory_destroy(c->src[t]);
		if (c->dst && c->dst[t]) dnnl.memory_destroy(c->dst[t]);
		if (c->bias && c->bias[t]) dnnl.memory_destroy(c->bias[t]);
		for (int k = 0; k < 3; k++) {
			if (c->w[k] && c->w[k][t]) dnnl.memory_destroy(c->w[k][t]);
			if (c->scratch[k] && c->scratch[k][t]) dnnl.memory_destroy(c->scratch[k][t]);
		}
		if (c->stream && c->stream[t]) dnnl.stream_destroy(c->stream[t]);
	}
	for (int k = 0; k < 3; k++) {
		free(c->w[k]);
		free(c->scratch[k]);
		if (c->prim[k]) dnnl.primitive_destroy(c->prim[k]);
		if (c->pd[k]) dnnl.primitive_desc_destroy(c->pd[k]);
	}
	if (c->reorder_d) dnnl.primitive_destroy(c->reorder_d);
	if (c->reorder_w) dnnl.primitive_destroy(c->reorder_w);
	free(c->src);
	free(c->dst);
	free(c->bias);
	free(c->stream);
	free(c);
}

int ns_conv_pack(struct ns_conv *c, float *plain, float *packed, int unpack) {
	dnnl_memory_t p = NULL, q = NULL;
	dnnl_primitive_desc_t pd;
	dnnl_primitive_t r;
	const dnnl_memory_desc_t *wf = &c->weights[FWD];
	if (c->tiled) {
		ns_tile_pack(&c->shape, plain, packed, unpack);
		return dnnl_success;
	}
	int before = ns_teams(1); // a primitive fixes its number of threads when it is made
	int s = dnnl.reorder_primitive_desc_create(&pd, unpack ? wf : &c->plain, c->engine, unpack ? &c->plain : wf, c->engine, NULL);
	if (s) goto done;
	s = dnnl.primitive_create(&r, pd);
	dnnl.primitive_desc_destroy(pd);
	if (s) goto done;
	s = dnnl.memory_create(&p, &c->plain, c->engine, plain);
	if (!s) s = dnnl.memory_create(&q, wf, c->engine, packed);
	if (!s) {
		dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, unpack ? q : p}, {DNNL_ARG_TO, unpack ? p : q}};
		s = dnnl.primitive_execute(r, c->stream[0], 2, args);
	}
	if (p) dnnl.memory_destroy(p);
	if (q) dnnl.memory_destroy(q);
	dnnl.primitive_destroy(r);
done:
	ns_teams(before);
	return s;
}

int ns_conv_adds(const struct ns_conv *c) { return c->tiled; }

int ns_conv_exec(struct ns_conv *c, int which, int t, void *a, void *b, void *d, void *scratch, struct ns_ahead *ahead) {
	if (c->tiled) {
		int data = which == NS_DATA, gradient = which == NS_WEIGHTS || which == NS_WEIGHTS_ADD;
		ns_tile_exec(&c->shape, c->tiles[gradient ? BWD_W : data ? BWD_D : FWD], which, data ? d : a, gradient ? d : which == NS_TURN ? a : b, NULL, data ? a : gradient ? b : d, scratch, ahead);
		return dnnl_success;
	}
	dnnl_stream_t st = c->stream[t];
	dnnl_exec_arg_t args[4];
	if (which >= NS_TURN) {
		dnnl_memory_t from = which == NS_TURN ? c->w[FWD][t] : c->w[BWD_W][t], to = which == NS_TURN ? c->w[BWD_D][t] : c->w[FWD][t];
		dnnl.memory_set_data_handle_v2(from, a, st);
		dnnl.memory_set_data_handle_v2(to, d, st);
		args[0] = (dnnl_exec_arg_t){DNNL_ARG_FROM, from};
		args[1] = (dnnl_exec_arg_t){DNNL_ARG_TO, to};
		return dnnl.primitive_execute(which == NS_TURN ? c->reorder_d : c->reorder_w, st, 2, args);
	}
	void *src = which == BWD_D ? d : a, *w = which == BWD_W ? d : b, *dst = which == FWD ? d : which == BWD_D ? a : b;
	dnnl.memory_set_data_handle_v2(c->src[t], src, st);
	dnnl.memory_set_data_handle_v2(c->dst[t], dst, st);
	dnnl.memory_set_data_handle_v2(c->w[which][t], w, st);
	dnnl.memory_set_data_handle_v2(c->scratch[which][t], scratch, st);
	args[0] = (dnnl_exec_arg_t){which == BWD_D ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, c->src[t]};
	args[1] = (dnnl_exec_arg_t){which == FWD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, c->dst[t]};
	args[2] = (dnnl_exec_arg_t){which == BWD_W ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, c->w[which][t]};
	args[3] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, c->scratch[which][t]};
	return dnnl.primitive_execute(c->prim[which], st, 4, args);
}

int ns_conv_fused(struct ns_conv *c, int t, void *x, void *w, void *bias, void *y, void *scratch, struct ns_ahead *ahead) {
	if (c->tiled) {
		ns_tile_exec(&c->shape, c->tiles[FWD], NS_FORWARD, x, w, bias, y, scratch, ahead);
		return dnnl_success;
	}
	dnnl_stream_t st = c->stream[t];
	dnnl.memory_set_data_handle_v2(c->src[t], x, st);
	dnnl.memory_set_data_handle_v2(c->dst[t], y, st);
	dnnl.memory_set_data_handle_v2(c->w[FWD][t], w, st);
	dnnl.memory_set_data_handle_v2(c->scratch[FWD][t], scratch, st);
	dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, c->src[t]}, {DNNL_ARG_DST, c->dst[t]}, {DNNL_ARG_WEIGHTS, c->w[FWD][t]}, {DNNL_ARG_SCRATCHPAD, c->scratch[FWD][t]}};
	if (bias) {
		dnnl.memory_set_data_handle_v2(c->bias[t], bias, st);
		args[4] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, c->bias[t]};
	}
	return dnnl.primitive_execute(c->prim[FWD], st, bias ? 5 : 4, args);
}
