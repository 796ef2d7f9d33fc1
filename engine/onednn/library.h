// oneDNN, loaded when the engine is opened and not when the program starts: on
// a machine without the library all but training works, and it can be said what
// is missing. Only its headers are needed to build.
#pragma once
#include <dnnl.h>

#define NS_DNNL(F) \
	F(convolution_backward_data_desc_init) \
	F(convolution_backward_weights_desc_init) \
	F(convolution_forward_desc_init) \
	F(engine_create) \
	F(get_effective_cpu_isa) \
	F(memory_create) \
	F(memory_desc_equal) \
	F(memory_desc_get_size) \
	F(memory_desc_init_by_tag) \
	F(memory_destroy) \
	F(memory_set_data_handle_v2) \
	F(post_ops_append_eltwise) \
	F(post_ops_append_sum) \
	F(post_ops_create) \
	F(post_ops_destroy) \
	F(primitive_attr_create) \
	F(primitive_attr_destroy) \
	F(primitive_attr_set_post_ops) \
	F(primitive_attr_set_scratchpad_mode) \
	F(primitive_create) \
	F(primitive_desc_create) \
	F(primitive_desc_destroy) \
	F(primitive_desc_query) \
	F(primitive_desc_query_md) \
	F(primitive_destroy) \
	F(primitive_execute) \
	F(reorder_primitive_desc_create) \
	F(set_primitive_cache_capacity) \
	F(sgemm) \
	F(stream_create) \
	F(stream_destroy) \
	F(version)

// The library's functions, without their prefix.
struct ns_dnnl {
#define F(name) __typeof__(dnnl_##name) *name;
	NS_DNNL(F)
#undef F
};
extern struct ns_dnnl dnnl;

// Sets the size of the teams that oneDNN starts from this thread; the size before.
int ns_teams(int size);
