#define LANES 8 // of what runs over whole arrays
#include "ops.h"
#include "vec.h"
#include "library.h"
#include <pthread.h>
#include <stdatomic.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

const ns_kernels *ns_kernels_for(int block) { return block == 16 ? &ns_kernels16 : &ns_kernels8; }

typedef struct {
	const ns_program *p;
	ns_run_args *a;
	int thread;
	float *scratch;
	double *acc;
	ns_ahead ahead;
} worker;

static float *at(const worker *w, ns_ref r, int img) {
	if (r.stride == NS_NONE) return NULL;
	if (r.stride == NS_SCRATCH) return w->scratch + r.off;
	return w->p->arena + r.off + r.stride * img;
}

// A tensor whose records are blocks*hw*block floats.
static view see(const worker *w, ns_ref r, int img, int64_t record) {
	return (view){at(w, r, img), r.stride > 0 ? r.stride : record};
}

static double loss_rows(const worker *w, const ns_op *o, int img, int n) {
	int64_t cp = o->blocks * w->p->block;
	int classes = o->of.loss.classes;
	double total = 0;
	float scale = 1.f / w->p->batch;
	for (int i = 0; i < n; i++) {
		const float *z = at(w, o->x, img + i), *t = at(w, o->r, img + i);
		float *d = at(w, o->y, img + i);
		float m = z[0];
		for (int k = 1; k < classes; k++)
			if (z[k] > m) m = z[k];
		double sum = 0, mass = 0, dot = 0;
		for (int k = 0; k < classes; k++) {
			double e = exp((double)z[k] - m);
			d[k] = e, sum += e, mass += t[k], dot += (double)t[k] * (z[k] - m);
		}
		total += mass * log(sum) - dot;
		for (int k = 0; k < classes; k++) d[k] = (d[k] / sum * mass - t[k]) * scale;
		for (int64_t k = classes; k < cp; k++) d[k] = 0;
	}
	return total;
}

static int gemm(char ta, char tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
	return dnnl.sgemm(ta, tb, m, n, k, 1.f, a, lda, b, ldb, beta, c, ldc);
}

// One op on images [img, img+n); first: the thread's first chunk of this loop.
static int run_op(worker *w, const ns_op *o, int img, int n, int first) {
	float *ar = w->p->arena;
	const ns_kernels *k = w->p->kernels;
	int64_t rec = (int64_t)o->blocks * o->hw * w->p->block, cp = o->blocks * w->p->block;
	view x = see(w, o->x, img, rec), y = see(w, o->y, img, rec), r = see(w, o->r, img, rec), h = see(w, o->h, img, rec), none = {0, 0};
	view mask = w->a->stats && w->a->backward ? see(w, o->mask, img, 1) : none; // drop-path acts in training only
	sources q = {see(w, o->g1, img, rec), see(w, o->g2, img, rec), see(w, o->g3, img, rec), see(w, o->gate, img, cp), see(w, o->bc, img, cp)};
	double *acc = o->acc < 0 ? NULL : w->acc + o->acc, *acc2 = o->acc2 < 0 ? NULL : w->acc + o->acc2;
	char *opscratch = (char *)(w->scratch + o->prim_scratch);
	int out = o->of.gemm.out, in = o->of.gemm.in; // of NS_GEMM_*
	switch (o->kind) {
	case NS_APPLY_U: k->apply_u(o, ar, x, y, q.gate, n); return 0;
	case NS_APPLY_A: k->apply_a(o, ar, x, r, mask, y, h, n); return 0;
	case NS_STATS:
		if (w->a->stats) k->stats(o, acc, x, h, n, first);
		return 0;
	case NS_POOL: y = see(w, o->y, img, cp); k->pool(o, ar, x, y, n); return 0;
	case NS_DGATE: y = see(w, o->y, img, cp); k->dgate(o, ar, x, q.g1, y, n); return 0;
	case NS_PASS_U: k->pass_u(o, ar, acc, x, y, q, n, first); return 0;
	case NS_PASS_A: k->pass_a(o, ar, acc, acc2, x, r, see(w, o->r2, img, rec), mask, y, q, n, first); return 0;
	case NS_PASS_B: k->pass_b(o, ar, q.g1, x, mask, y, n); return 0;
	case NS_MUL: k->mul(o, x, r, y, n); return 0;
	case NS_NARROW: k->narrow(o, x, y, h, n); return 0;
	case NS_WIDEN: k->widen(o, x, y, n); return 0;
	case NS_MAX_F: y = see(w, o->y, img, (int64_t)o->blocks * o->of.window.oh * o->of.window.ow * w->p->block); k->max_f(o, x, y, n); return 0;
	case NS_MAX_B: q.g1 = see(w, o->g1, img, (int64_t)o->blocks * o->of.window.oh * o->of.window.ow * w->p->block); k->max_b(o, x, q.g1, y, n); return 0;
	case NS_AVG_F: y = see(w, o->y, img, (int64_t)o->blocks * o->of.window.oh * o->of.window.ow * w->p->block); k->avg_f(o, x, y, n); return 0;
	case NS_AVG_B: q.g1 = see(w, o->g1, img, (int64_t)o->blocks * o->of.window.oh * o->of.window.ow * w->p->block); k->avg_b(o, q.g1, y, n); return 0;
	case NS_FOLD: k->fold(o, x, y, n); return 0;
	case NS_UNFOLD: k->unfold(o, q.g1, y, n); return 0;
	case NS_SOFTMAX_F: k->softmax_f(o, ar, x, y, n); return 0;
	case NS_SOFTMAX_B: k->softmax_b(o, ar, r, q.g1, y, n); return 0;
	case NS_CONV_F: return ns_conv_exec(o->conv, NS_FORWARD, w->thread, x.p, ar + o->weight, y.p, opscratch, &w->ahead);
	case NS_CONV_E: return ns_conv_fused(o->conv, w->thread, x.p, ar + o->weight, o->t < 0 ? NULL : ar + o->t, y.p, opscratch, &w->ahead);
	case NS_CONV_D: return ns_conv_exec(o->conv, NS_DATA, w->thread, x.p, ar + o->weight, y.p, opscratch, &w->ahead);
	case NS_CONV_W: {
		float *dw = ar + o->dw + w->thread * o->dw_stride;
		if (first || ns_conv_adds(o->conv)) return ns_conv_exec(o->conv, first ? NS_WEIGHTS : NS_WEIGHTS_ADD, w->thread, x.p, r.p, dw, opscratch, &w->ahead);
		float *tmp = w->scratch + o->of.conv_w.next;
		int s = ns_conv_exec(o->conv, NS_WEIGHTS, w->thread, x.p, r.p, tmp, opscratch, &w->ahead);
		for (int64_t i = 0; i < o->of.conv_w.size; i += 8) store(dw + i, load(dw + i) + load(tmp + i));
		return s;
	}
	case NS_GEMM_F: return gemm('N', 'T', n, out, in, x.p, in, ar + o->weight, in, 0, y.p, out);
	case NS_GEMM_D: return gemm('N', 'N', n, in, out, x.p, out, ar + o->weight, in, 0, y.p, in);
	case NS_GEMM_W: {
		float *dw = ar + o->dw + w->thread * o->dw_stride;
		return gemm('T', 'N', out, in, n, r.p, out, x.p, in, first ? 0 : 1, dw, in);
	}
	case NS_LOSS: w->acc[0] += loss_rows(w, o, img, n); return 0;
	}
	return dnnl_invalid_arguments;
}

static void fin_stats(const ns_program *p, const ns_run_args *a, const ns_op *o, int threads) {
	float *ar = p->arena;
	int64_t c = o->blocks * p->block;
	if (o->bias) { // y = x + bias: s and t are set up already
		return;
	}
	for (int64_t k = 0; k < c; k++) {
		double mean, var;
		if (a->stats && !o->of.fin_stats.fixed) {
			// Join the threads' sums about their own pivots (Chan et al.).
			double n = 0, m2 = 0;
			mean = 0;
			for (int t = 0; t < threads; t++) {
				const double *acc = p->acc + t * p->acc_stride + o->acc;
				int64_t chunks = p->batch / (int64_t)o->of.fin_stats.chunk, lo = chunks * t / threads, hi = chunks * (t + 1) / threads;
				double nt = (double)(hi - lo) * o->of.fin_stats.chunk * o->hw;
				if (nt == 0) continue;
				double mt = acc[k] + acc[c + k] / nt, qt = acc[2 * c + k] - acc[c + k] * acc[c + k] / nt, d = mt - mean;
				m2 += qt + d * d * n * nt / (n + nt);
				mean += d * nt / (n + nt);
				n += nt;
			}
			var = m2 > 0 ? m2 / n : 0;
			double unbiased = n > 1 ? m2 / (n - 1) : var;
			ar[o->run_mean + k] = (1 - a->momentum) * ar[o->run_mean + k] + a->momentum * mean;
			ar[o->run_var + k] = (1 - a->momentum) * ar[o->run_var + k] + a->momentum * (unbiased > 0 ? unbiased : 0);
		} else {
			mean = ar[o->run_mean + k], var = ar[o->run_var + k];
		}
		double inv = 1 / sqrt(var + o->of.fin_stats.epsilon), s = ar[o->weight + k] * inv;
		ar[o->mean + k] = mean;
		ar[o->inv + k] = inv;
		ar[o->s + k] = s;
		ar[o->t + k] = ar[o->weight2 + k] - mean * s;
	}
}

static void fin_grad(const ns_program *p, const ns_op *o, int threads) {
	float *ar = p->arena;
	int64_t c = o->blocks * p->block;
	for (int64_t k = 0; k < c; k++) {
		double s1 = 0, s2 = 0;
		for (int t = 0; t < threads; t++) {
			const double *acc = p->acc + t * p->acc_stride + o->acc;
			s1 += acc[k], s2 += acc[c + k];
		}
		ar[o->grad2 + k] = s1;
		if (o->bias) continue;
		double inv = ar[o->inv + k], s = ar[o->s + k], slope = s * inv * inv * s2 / o->of.fin_grad.count;
		ar[o->grad + k] = s2 * inv;
		ar[o->k1 + k] = s;
		ar[o->k2 + k] = -slope;
		ar[o->k3 + k] = -s * s1 / o->of.fin_grad.count + slope * ar[o->mean + k];
	}
}

static int fin_dw(worker *w, const ns_op *o, int threads) {
	float *ar = w->p->arena, *dw = ar + o->dw, *g = ar + o->grad;
	ns_fin_dw d = o->of.fin_dw;
	for (int t = 1; t < threads; t++)
		for (int64_t i = 0; i < d.size; i += 8) store(dw + i, load(dw + i) + load(dw + t * o->dw_stride + i));
	if (d.relayout) { // another layout than the forward one
		int s = ns_conv_exec(o->conv, NS_RELAYOUT, w->thread, dw, 0, g, 0, NULL);
		if (s) return s;
	} else if (dw != g) {
		memcpy(g, dw, d.size * sizeof *g);
	}
	if (d.mask >= 0)
		for (int64_t i = 0; i < d.mask_size; i += 8) store(g + i, load(g + i) * load(ar + d.mask + i));
	return 0;
}

static int run_once(worker *w, const ns_op *o, int threads) {
	switch (o->kind) {
	case NS_FIN_STATS: fin_stats(w->p, w->a, o, threads); return 0;
	case NS_FIN_GRAD: fin_grad(w->p, o, threads); return 0;
	case NS_FIN_DW: return fin_dw(w, o, threads);
	case NS_REORDER_D: return ns_conv_exec(o->conv, NS_TURN, w->thread, w->p->arena + o->weight, 0, w->p->arena + o->of.reorder.to, 0, NULL);
	}
	return dnnl_invalid_arguments;
}

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

// The threads of a program. They live as long as it does, because the Go side
// may call from another system thread each time. Between the loops of a step they
// spin, as the next loop is microseconds away; between steps they sleep.
struct ns_pool {
	int threads;
	pthread_t *helpers;
	pthread_mutex_t lock;
	pthread_cond_t wake, next; // a step begins; all have met
	uint64_t round; // steps begun
	int stop;
	ns_program *p;
	ns_run_args *a;
	atomic_int arrived, phase;
};

// All threads meet: the next loop is microseconds away, so they spin a while
// before they sleep. On a machine with more to run than cores they sleep soon
// enough to let the others come.
static void meet(struct ns_pool *q) {
	int phase = atomic_load(&q->phase);
	if (atomic_fetch_add(&q->arrived, 1) == q->threads - 1) {
		atomic_store(&q->arrived, 0);
		pthread_mutex_lock(&q->lock);
		atomic_fetch_add(&q->phase, 1);
		pthread_cond_broadcast(&q->next);
		pthread_mutex_unlock(&q->lock);
		return;
	}
	for (int spins = 0; spins < 10000; spins++) {
		if (atomic_load(&q->phase) != phase) return;
		PAUSE();
	}
	pthread_mutex_lock(&q->lock);
	while (atomic_load(&q->phase) == phase) pthread_cond_wait(&q->next, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

static void fail(ns_program *p, ns_run_args *a, const ns_op *o, int status) {
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&lock);
	if (!a->fail_status) a->fail_op = o - p->ops, a->fail_status = status;
	pthread_mutex_unlock(&lock);
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

// Adds the time since t0 and returns the new t0.
static double spend(double *spent, double t0) {
	double t = now();
	*spent += t - t0;
	return t;
}

// The chunks of a loop that a thread does: every other loop goes through them backwards, and so begins with what the one before
// left in the caches.
typedef struct {
	int64_t lo, hi;
	int back;
} chunks;

static chunks chunks_of(const ns_program *p, int from, int l, int thread, int threads) {
	int64_t n = p->batch / p->loops[l].chunk;
	return (chunks){n * thread / threads, n * (thread + 1) / threads, (l - from) % 2};
}

// The first image of number c of those, in the order in which they are done.
static int64_t image_of(const ns_loop *loop, chunks of, int64_t c) { return (of.back ? of.hi - 1 - c : of.lo + c) * loop->chunk; }

// A third: the chunk at hand takes as much, and what its ops hand each other.
int64_t ns_fetch_room(void) {
#ifdef _SC_LEVEL2_CACHE_SIZE
	long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
	return bytes > 0 ? bytes / 3 : 0;
#else
	return 0;
#endif
}

// Adds what a chunk reads and writes to the list that the convolutions before it fetch, as much as leaves the second-level cache to them.
static void look_ahead(worker *w, const ns_loop *loop, int64_t img) {
	ns_ahead *a = &w->ahead;
	int64_t room = w->p->fetch;
	for (int i = loop->body; i < loop->post; i++) {
		const ns_op *o = &w->p->ops[i];
		const ns_ref refs[] = {o->x, o->r, o->r2, o->g1, o->g2, o->g3, o->h, o->y};
		for (int k = 0; k < (int)(sizeof refs / sizeof *refs) && room > 0 && a->count < NS_RANGES; k++) {
			if (refs[k].stride <= 0) continue;
			const char *from = (const char *)at(w, refs[k], img);
			int64_t bytes = refs[k].stride * loop->chunk * sizeof(float);
			int listed = 0;
			for (int j = 0; j < a->count; j++) listed |= a->ranges[j].at == from;
			if (listed) continue;
			a->ranges[a->count++] = (ns_range){from, bytes < room ? bytes : room};
			room -= bytes;
		}
	}
}

static void run_thread(ns_program *p, ns_run_args *a, int thread, int threads) {
	worker w = {p, a, thread, p->scratch + thread * p->scratch_stride, p->acc + thread * p->acc_stride};
	w.acc[0] = 0; // the loss
	double *spent = thread == 0 ? p->spent : NULL, t0 = spent ? now() : 0;
	int from = a->backward ? 0 : p->evaluate, to = a->backward ? p->steps : p->nloops;
	for (int l = from; l < to; l++) {
		const ns_loop *loop = &p->loops[l];
		if (!loop->forward && !a->backward) break;
		if (loop->pre < loop->body) {
			if (thread == 0)
				for (int i = loop->pre; i < loop->body; i++) {
					int s = run_once(&w, &p->ops[i], threads);
					if (s) fail(p, a, &p->ops[i], s);
					if (spent) t0 = spend(&spent[i], t0);
				}
			if (threads > 1) meet(p->pool);
		}
		const chunks all = chunks_of(p, from, l, thread, threads);
		for (int64_t c = 0; c < all.hi - all.lo; c++) {
			const int64_t img = image_of(loop, all, c);
			w.ahead.count = w.ahead.now = 0;
			if (c + 1 < all.hi - all.lo) look_ahead(&w, loop, image_of(loop, all, c + 1));
			else if (l + 1 < to) look_ahead(&w, loop + 1, image_of(loop + 1, chunks_of(p, from, l + 1, thread, threads), 0));
			for (int i = loop->body; i < loop->post; i++) {
				int s = run_op(&w, &p->ops[i], img, loop->chunk, c == 0);
				if (s) fail(p, a, &p->ops[i], s);
				if (spent) t0 = spend(&spent[i], t0);
			}
		}
		if (threads > 1) meet(p->pool);
		if (loop->post < loop->end) {
			if (thread == 0)
				for (int i = loop->post; i < loop->end; i++) {
					int s = run_once(&w, &p->ops[i], threads);
					if (s) fail(p, a, &p->ops[i], s);
					if (spent) t0 = spend(&spent[i], t0);
				}
			if (threads > 1) meet(p->pool);
		}
	}
}

struct helper {
	struct ns_pool *pool;
	int thread;
};

static void *help(void *arg) {
	struct helper h = *(struct helper *)arg;
	free(arg);
	struct ns_pool *q = h.pool;
	ns_teams(1); // oneDNN must not start a team of its own
	for (uint64_t round = 1;; round++) {
		pthread_mutex_lock(&q->lock);
		while (q->round < round && !q->stop) pthread_cond_wait(&q->wake, &q->lock);
		int stop = q->stop;
		pthread_mutex_unlock(&q->lock);
		if (stop) return NULL;
		run_thread(q->p, q->a, h.thread, q->threads);
		meet(q);
	}
}

struct ns_pool *ns_pool_new(int threads) {
	struct ns_pool *q = ns_calloc(1, sizeof *q);
	if (!q) return NULL;
	q->threads = threads;
	q->helpers = ns_calloc(threads, sizeof *q->helpers);
	if (!q->helpers) {
		free(q);
		return NULL;
	}
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->wake, NULL);
	pthread_cond_init(&q->next, NULL);
	for (int t = 1; t < threads; t++) {
		struct helper *h = ns_calloc(1, sizeof *h);
		if (h) *h = (struct helper){q, t};
		if (!h || pthread_create(&q->helpers[t], NULL, help, h)) {
			free(h);
			q->threads = t;
			ns_pool_free(q);
			return NULL;
		}
	}
	return q;
}

void ns_pool_free(struct ns_pool *q) {
	if (!q) return;
	pthread_mutex_lock(&q->lock);
	q->stop = 1;
	pthread_cond_broadcast(&q->wake);
	pthread_mutex_unlock(&q->lock);
	for (int t = 1; t < q->threads; t++) pthread_join(q->helpers[t], NULL);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->wake);
	pthread_cond_destroy(&q->next);
	free(q->helpers);
	free(q);
}

int ns_run(ns_program *p, ns_run_args *a) {
	a->fail_op = -1, a->fail_status = 0;
	ns_teams(1);
	struct ns_pool *q = p->pool;
	if (q) {
		pthread_mutex_lock(&q->lock);
		q->p = p, q->a = a, q->round++;
		pthread_cond_broadcast(&q->wake);
		pthread_mutex_unlock(&q->lock);
	}
	run_thread(p, a, 0, p->threads);
	if (q) meet(q);
	a->loss = 0;
	for (int t = 0; t < p->threads; t++) a->loss += p->acc[t * p->acc_stride];
	return a->fail_status;
}

// SGD 0, Adam 1, AdamW 2.
void ns_update(float *p, const float *g, float *m1, float *m2, float *ema, int64_t n, const ns_update_args *u) {
	vf lr = splat(u->lr), wd = splat(u->wd), mu = splat(u->momentum), scale = splat(u->scale);
	vf b1 = splat(u->beta1), b2 = splat(u->beta2), c1 = splat(1 - u->beta1), c2 = splat(1 - u->beta2), eps = splat(u->eps);
	vf step = splat(u->lr / (u->bias1 ? u->bias1 : 1)), root = splat(1 / sqrt(u->bias2 ? u->bias2 : 1));
	vf shrink = splat(1 - u->lr * u->wd), d = splat(u->ema), d1 = splat(1 - u->ema);
	for (int64_t i = 0; i < n; i += 8) {
		vf w = load(p + i), x = load(g + i) * scale;
		if (u->kind == 2) w *= shrink;
		else x += wd * w;
		if (u->kind == 0) {
			if (m1) {
				vf v = mu * load(m1 + i) + x;
				store(m1 + i, v);
				x = u->nesterov ? x + mu * v : v;
			}
			w -= lr * x;
		} else {
			vf m = b1 * load(m1 + i) + c1 * x, v = b2 * load(m2 + i) + c2 * x * x, q = v;
			store(m1 + i, m);
			store(m2 + i, v);
			for (int k = 0; k < 8; k++) q[k] = sqrtf(v[k]);
			w -= step * m / (q * root + eps);
		}
		store(p + i, w);
		if (ema) store(ema + i, d * load(ema + i) + d1 * w);
	}
}

double ns_norm2(const float *g, int64_t n) {
	double sum[8] = {0}, total = 0;
	for (int64_t i = 0; i < n;) {
		int64_t end = n - i > 8 * 1024 ? i + 8 * 1024 : n;
		vf s = splat(0);
		for (; i < end; i += 8) s += load(g + i) * load(g + i);
		add_double(sum, s);
	}
	for (int k = 0; k < 8; k++) total += sum[k];
	return total;
}

void ns_ema(float *ema, const float *v, int64_t n, double decay) {
	vf d = splat(decay), d1 = splat(1 - decay);
	for (int64_t i = 0; i < n; i += 8) store(ema + i, d * load(ema + i) + d1 * load(v + i));
}

void ns_swap(float *a, float *b, int64_t n) {
	for (int64_t i = 0; i < n; i += 8) {
		vf x = load(a + i);
		store(a + i, load(b + i));
		store(b + i, x);
	}
}

// Memory comes zeroed from the system in whole pages, huge ones where it has them.
void ns_poison(void *p, size_t bytes, int on) {
#ifdef __SANITIZE_ADDRESS__
	if (on) __asan_poison_memory_region(p, bytes);
	else __asan_unpoison_memory_region(p, bytes);
#else
	(void)p, (void)bytes, (void)on;
#endif
}

static atomic_llong left = -1; // allocations until one fails

void ns_fail_after(int64_t n) { atomic_store(&left, n); }

static int fails(void) {
	if (atomic_load(&left) < 0) return 0;
	return atomic_fetch_sub(&left, 1) == 0;
}

void *ns_calloc(size_t n, size_t size) { return fails() ? NULL : calloc(n, size); }

void *ns_alloc(size_t bytes) {
	if (fails()) return NULL;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
	if (bytes >= 4 << 20) madvise(p, bytes, MADV_HUGEPAGE);
#endif
	return p;
}

void ns_free(void *p, size_t bytes) {
	if (p) munmap(p, bytes);
}


int64_t ns_heap(void) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
#else
	return -1;
#endif
}
