#include "ops.h"
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,prefer-vector-width=512")
#include <immintrin.h>
#define LANES 16
#define IMAGES 2
#include "narrow.h"
void ns_narrow_pairs(const ns_shape *s, int which, float *src, float *w, float *dst) { ns_narrow(s, which, src, w, dst); }
#else
void ns_narrow_pairs(const ns_shape *s, int which, float *src, float *w, float *dst) { ns_kernels8.narrow(s, which, src, w, dst); }
#endif
