#define LANES 8
#include "ns.h"
#include "vec.h"
#include <time.h>

// Twelve independent chains of multiply-adds keep two units of latency 4 or 5
// busy. Each round is ROUND steps of the twelve.
#define ROUND 1000000
#define CHAINS(T, NAME, ATTR) \
	ATTR static void NAME(void) { \
		T m = (T){} + 0.999999f, c = (T){} + 1e-6f; \
		T a0 = c, a1 = c, a2 = c, a3 = c, a4 = c, a5 = c, a6 = c, a7 = c, a8 = c, a9 = c, a10 = c, a11 = c; \
		for (int k = 0; k < ROUND; k++) { \
			a0 = a0 * m + c, a1 = a1 * m + c, a2 = a2 * m + c, a3 = a3 * m + c; \
			a4 = a4 * m + c, a5 = a5 * m + c, a6 = a6 * m + c, a7 = a7 * m + c; \
			a8 = a8 * m + c, a9 = a9 * m + c, a10 = a10 * m + c, a11 = a11 * m + c; \
			__asm__ volatile("" : "+v"(a0), "+v"(a1), "+v"(a2), "+v"(a3), "+v"(a4), "+v"(a5)); \
			__asm__ volatile("" : "+v"(a6), "+v"(a7), "+v"(a8), "+v"(a9), "+v"(a10), "+v"(a11)); \
		} \
	}

#if defined(__x86_64__)
typedef float v16 __attribute__((vector_size(64)));
CHAINS(vf, chains8, )
CHAINS(v16, chains16, __attribute__((target("avx512f"))))
#else
#undef CHAINS
static void chains8(void) {
	vf m = splat(0.999999f), c = splat(1e-6f), a[12];
	for (int i = 0; i < 12; i++) a[i] = c;
	for (int k = 0; k < ROUND; k++)
		for (int i = 0; i < 12; i++) a[i] = a[i] * m + c;
	volatile float sink = a[0][0] + a[11][0];
	(void)sink;
}
#endif

static double rate(void (*chains)(void), int lanes) {
	struct timespec t0, t1;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	chains();
	clock_gettime(CLOCK_MONOTONIC, &t1);
	return 2.0 * 12 * lanes * ROUND / (t1.tv_sec - t0.tv_sec + 1e-9 * (t1.tv_nsec - t0.tv_nsec)) * 1e-9;
}

double ns_peak_gflops(double seconds, int wide) {
	struct timespec t0, t1;
	double best = 0;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	do {
		double r = rate(chains8, 8);
		if (r > best) best = r;
#if defined(__x86_64__)
		if (wide && (r = rate(chains16, 16)) > best) best = r;
#endif
		clock_gettime(CLOCK_MONOTONIC, &t1);
	} while (t1.tv_sec - t0.tv_sec + 1e-9 * (t1.tv_nsec - t0.tv_nsec) < seconds);
	return best;
}
