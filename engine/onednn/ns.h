// The C side of the engine: an interpreter of loops over chunks of a batch,
// convolutions, and the element-wise kernels in between.
//
// Every tensor is [N][C/B][H*W][B] float32 with B = 8 or 16 ("nChw8c",
// "nChw16c"), so that a chunk of images is one contiguous piece. Channels are
// padded to multiples of B; padding lanes are zero and stay zero. What a training step keeps
// for its backward pass may be bfloat16 (engine.Options.Activations): everything is computed in float32, from
// values that are widened when they are read and rounded when they are written.
#ifndef NS_H
#define NS_H
#include <stddef.h>
#include <stdint.h>

// A place in memory. stride > 0: arena, one record of that many floats per
// image; NS_FIXED: arena, the same for all images; NS_SCRATCH: the thread's
// scratch; NS_NONE: absent.
enum { NS_FIXED = 0, NS_SCRATCH = -1, NS_NONE = -2 };
typedef struct {
	int64_t off, stride;
} ns_ref;

enum ns_kind {
	NS_APPLY_U = 1, // y = act(s*x+t) * gate
	NS_APPLY_A,     // y = act(mask*(s*x+t) + (s2*r+t2))
	NS_CONV_F,      // y = conv(x, w)
	NS_CONV_D,      // y = conv backward data(x = gradient, w)
	NS_CONV_W,      // weight gradient of x = input, r = gradient
	NS_GEMM_F,      // the same three for 1x1 maps
	NS_GEMM_D,
	NS_GEMM_W,
	NS_STATS,       // sums of x and x^2 about a pivot
	NS_POOL,        // y[c] = mean over the map of act(s*x+t)
	NS_MAX_F,       // max pooling of x
	NS_MAX_B,       // y = gradient of x from gradient g1
	NS_PASS_U,      // y = act'(s*x+t) * (sum of gradients), and its sums for the norm's gradient
	NS_PASS_A,      // the same behind an addition
	NS_PASS_B,      // y = k1*mask*g1 + k2*x + k3: through the norm
	NS_DGATE,       // y[c] = sum over the map of g1 * act(s*x+t)
	NS_MUL,         // y = x * r: dropout and its gradient
	NS_AVG_F,       // average pooling of x
	NS_AVG_B,       // y = gradient of x from gradient g1
	NS_FOLD,        // y[c] = sum over the parts of x
	NS_UNFOLD,      // its gradient: every part of y is g1
	NS_SOFTMAX_F,   // y = softmax of x over the parts
	NS_SOFTMAX_B,   // y = gradient of x from gradient g1 and the value r
	NS_CONV_E,      // y = act(conv(x, w) + t), or act(conv(x, w) + t + y)
	NS_NARROW,      // y = x rounded to bfloat16, and h the same in two bytes
	NS_WIDEN,       // y = x, which is bfloat16
	NS_LOSS,        // softmax cross-entropy of x against targets r; gradient to y
	// once per loop, before or after its chunks
	NS_FIN_STATS,   // batch statistics -> s, t, running statistics
	NS_FIN_GRAD,    // sums -> gradients of the norm, and k1, k2, k3
	NS_FIN_DW,      // sum of the threads' weight gradients -> gradient
	NS_REORDER_D,   // weights in the layout that backward data wants
};

enum { NS_IDENTITY, NS_RELU, NS_SILU, NS_SIGMOID };

struct ns_conv;

// What only ops of one kind have.
typedef struct {
	int32_t h, w, oh, ow; // sizes of the map and of the pooled one
	int32_t kernel, stride, pad;
} ns_window; // NS_MAX_*, NS_AVG_*
typedef struct {
	int32_t parts;    // of the channels
	int32_t channels; // NS_SOFTMAX_*: of a part, up to whole vectors
} ns_parts; // NS_FOLD, NS_UNFOLD, NS_SOFTMAX_*
typedef struct {
	int32_t out, in; // channels
} ns_gemm; // NS_GEMM_*
typedef struct {
	int64_t size; // floats of the weight gradient
	int64_t next; // thread scratch for the gradient of every chunk but the first, where it cannot add
} ns_conv_w; // NS_CONV_W
typedef struct {
	int32_t chunk; // images that were added up at a time
	int32_t fixed; // the running statistics, whatever the pass
	double epsilon; // added to the variance
} ns_fin_stats; // NS_FIN_STATS
typedef struct {
	double count; // elements per channel in a batch; infinite where the statistics are fixed, and do not move with one
} ns_fin_grad; // NS_FIN_GRAD
typedef struct {
	int64_t size;        // floats of a thread's weight gradient
	int32_t relayout;    // it is in another layout than the gradient
	int64_t mask;        // arena: 0/1 factors of a packed weight; -1: none
	int64_t mask_size;   // floats of those
} ns_fin_dw; // NS_FIN_DW
typedef struct {
	int64_t to; // arena: weights in the layout of backward data
} ns_reorder; // NS_REORDER_D
typedef struct {
	int32_t classes;
} ns_loss; // NS_LOSS

typedef struct {
	int32_t kind, act;
	int32_t blocks, hw;     // channel blocks and map size of x
	int32_t bias;           // NS_FIN_*: the norm is a bias
	int32_t relu_y;         // NS_PASS_A: r2 is the stored output, positive where ReLU passed
	int32_t half;           // x, r and r2 are bfloat16
	struct ns_conv *conv;
	ns_ref x, y, r, r2;     // r: residual; r2: stored output
	ns_ref h;               // where the value of NS_APPLY_A, or x of NS_STATS, is also kept, as bfloat16; the sums are of the rounded values
	ns_ref g1, g2, g3;      // gradients that are added up
	ns_ref gate, mask, bc;  // [n][blocks*B] factor (of g3 in NS_PASS_*); [n] factor; [n][blocks*B] gradient of a mean
	// Per-channel arrays in the arena, by offset; -1: absent.
	int64_t s, t, mean, s2, t2, mean2;
	int64_t k1, k2, k3, inv;
	int64_t weight, grad;   // in the parameter and gradient areas; gamma or weights
	int64_t weight2, grad2; // beta or bias
	int64_t run_mean, run_var;
	int64_t lanes;          // 0/1 per channel: a sigmoid must not lift padding from zero; of a softmax, where its channels are
	int64_t acc, acc2;      // per-thread sums, in doubles
	int64_t dw, dw_stride;  // per-thread weight gradients
	int64_t prim_scratch;   // thread scratch of a convolution's primitive
	union {
		ns_window window;
		ns_parts parts;
		ns_gemm gemm;
		ns_conv_w conv_w;
		ns_fin_stats fin_stats;
		ns_fin_grad fin_grad;
		ns_fin_dw fin_dw;
		ns_reorder reorder;
		ns_loss loss;
	} of; // its kind
} ns_op;

typedef struct {
	int32_t pre, body, post, end; // op ranges [pre,body) [body,post) [post,end)
	int32_t chunk;                // images per chunk
	int32_t forward;              // belongs to the forward pass
} ns_loop;

struct ns_kernels;
struct ns_pool;
struct ns_pool *ns_pool_new(int threads);
void ns_pool_free(struct ns_pool *q);

typedef struct {
	struct ns_pool *pool; // of more than one thread
	const struct ns_kernels *kernels; // of the block size
	int32_t block;
	ns_op *ops;
	ns_loop *loops;
	int32_t nloops, batch, threads;
	int32_t steps;    // loops of a training step, the first ones
	int32_t evaluate; // the first loop of a pass without gradients: 0, or steps where a step rounds what it keeps
	float *arena;
	float *scratch;         // threads * scratch_stride floats
	int64_t scratch_stride;
	double *acc;            // threads * acc_stride doubles
	int64_t acc_stride;
	int64_t fetch;          // bytes of the next chunk to fetch ahead
	double *spent;          // seconds in each op, of the first thread; NULL: not measured
} ns_program;

typedef struct {
	int32_t stats;     // 1: batch statistics, 0: running statistics
	int32_t backward;  // run the backward loops too
	double momentum;   // of the running statistics
	double loss;       // out: sum over the images
	int32_t fail_op, fail_status; // out: the oneDNN call that failed
} ns_run_args;

int ns_run(ns_program *p, ns_run_args *a);

// Convolutions. wf, wd, ww: bytes of the weights in the layout of forward,
// backward data and backward weights.
typedef struct {
	int32_t n, groups, ic, oc, ih, iw, oh, ow, kernel, stride; // padded channels
	int32_t block;
	int32_t plain_src;  // the input is planes, [N][C][H][W]: a first convolution
	int32_t width;      // of the groups, where lanes have inputs of their own: see groupWidth; else 0
	int32_t wide;       // AVX-512 may be used
	int32_t backward;   // 0: forward only; 1: weights; 2: weights and data
	int32_t threads;
	int32_t vectors, images; // tests: of the tile to use; 0: as the rule says
	int32_t fuse, bias, act, sum; // forward only, if there is a kernel for that: see NS_CONV_E
} ns_shape;
typedef struct {
	int64_t wf, wd, ww;
	int64_t scratch;       // bytes of the largest scratchpad
	int32_t same_d, same_w; // those layouts equal the forward one
	int32_t adds;           // the weight gradient can be added to what is there: NS_WEIGHTS_ADD
	const char *impl[3];
	int32_t fused;         // ns_conv_fused is there
} ns_conv_info;
typedef struct ns_engine ns_engine;
// Loads oneDNN: "", or why that fails. Nothing else may be called before it.
const char *ns_library(void);
ns_engine *ns_engine_new(int *status);
struct ns_conv *ns_conv_new(ns_engine *e, const ns_shape *s, ns_conv_info *info, const char **what, int *status);
void ns_conv_free(struct ns_conv *c);
// Copies weights between plain [g,]oihw and the forward layout.
int ns_conv_pack(struct ns_conv *c, float *plain, float *packed, int unpack);
// NS_FORWARD: a input, b weights, d output; NS_DATA: a output gradient, b weights, d input
// gradient; NS_WEIGHTS, and NS_WEIGHTS_ADD where it adds: a input, b output gradient, d weight
// gradient; NS_TURN: weights a of forward to d of backward data; NS_RELAYOUT: gradient a of weights to d in the forward layout.
enum { NS_FORWARD, NS_DATA, NS_WEIGHTS, NS_TURN, NS_RELAYOUT, NS_WEIGHTS_ADD };
struct ns_ahead; // what to fetch meanwhile; may be NULL
int ns_conv_adds(const struct ns_conv *c);
int ns_conv_exec(struct ns_conv *c, int which, int thread, void *a, void *b, void *d, void *scratch, struct ns_ahead *ahead);
// y = act(conv(x, w) + bias), with + y where the shape says sum; bias may be NULL where it says none.
int ns_conv_fused(struct ns_conv *c, int thread, void *x, void *w, void *bias, void *y, void *scratch, struct ns_ahead *ahead);
void ns_version(int *major, int *minor, int *patch, int *isa);
const char *ns_status(int status);

// Optimizer over n floats: kinds as in package engine.
typedef struct {
	int32_t kind, nesterov;
	double lr, momentum, beta1, beta2, eps, wd, scale, ema;
	double bias1, bias2; // 1-beta^step
} ns_update_args;
void ns_update(float *p, const float *g, float *m1, float *m2, float *ema, int64_t n, const ns_update_args *u);
double ns_norm2(const float *g, int64_t n);
void ns_ema(float *ema, const float *v, int64_t n, double decay);
void ns_swap(float *a, float *b, int64_t n);

// Bytes of the second-level cache that what comes next may take; 0 where its size is not known.
int64_t ns_fetch_room(void);

// The kernels of a block size, 8 or 16.
const struct ns_kernels *ns_kernels_for(int block);

// All memory comes from these two, zeroed, or NULL: pages of the system for what is
// large, and the C heap for structures.
void *ns_alloc(size_t bytes);
void ns_free(void *p, size_t bytes);
void *ns_calloc(size_t n, size_t size); // free with free
void ns_poison(void *p, size_t bytes, int on); // makes the address sanitizer, if there, refuse or allow access
// Tests: lets so many allocations of this process succeed and the next one fail, once; -1: none fails.
void ns_fail_after(int64_t n);
double ns_peak_gflops(double seconds, int wide);
int64_t ns_heap(void); // bytes in use on the C heap, -1 if unknown
#endif
